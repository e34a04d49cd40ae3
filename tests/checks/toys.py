"""Networks of a few numbers, on which it is known what a check must find."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Attack
from robustbench_aig.checks import Case, reference_attack
from robustbench_aig.evaluation import Images, Subject
from robustbench_aig.gating import Gate
from robustbench_aig.models import MacProfile, profile_macs
from robustbench_aig.threat import Threat

SHAPE = (1, 6, 6)
EPS = Threat.parse("16/255")


def toy_images(count: int = 96) -> Images:
    """Grey noise of class 0, away from the ends of the pixel range."""
    pixels = 0.3 + 0.4 * torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(0))
    return Images(pixels, torch.zeros(count, dtype=torch.int64), torch.arange(count))


def toy_case(
    model: nn.Module, policy: str = "none", attack: Attack | None = None, *, count: int = 96, threat: Threat = EPS
) -> Case:
    """A case of it."""
    gates = sum(isinstance(module, Gate) for module in model.modules())
    profile = MacProfile(1, (1,) * gates) if gates else profile_macs(model, SHAPE)
    subject = Subject("toy", model.eval(), profile, policy)
    return Case(subject, toy_images(count), threat, attack or reference_attack(random=subject.random))


class Toy(nn.Module):
    """Two classes: logit 0 of the label, and minus the margin."""

    def margin(self, x: Tensor) -> Tensor:
        """(B,) of images (B, C, H, W)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        margin = self.margin(x)
        return torch.stack([torch.zeros_like(margin), -margin], 1)


class Lottery(Toy):
    """Wrong where a digit far behind the point is a certain one: nothing but luck finds it."""

    def __init__(self, share: float = 0.1) -> None:
        super().__init__()
        self.share = share

    def margin(self, x: Tensor) -> Tensor:
        return 1.0 - 2 * ((x[:, 0, 0, 0] * 1009).frac() < self.share).to(x) + 0 * x.sum((1, 2, 3))


class BetweenLevels(Toy):
    """Wrong where pixels changed by less than half a level of 8 bits."""

    def margin(self, x: Tensor) -> Tensor:
        known = toy_images().pixels.to(x)
        change = (x[:, None] - known[None]).flatten(2).abs().amax(2).amin(1)
        return 1.0 - 2 * ((change > 0.1 / 255) & (change < 0.5 / 255)).to(x) + 0 * x.sum((1, 2, 3))


class OneGate(Gate):
    """Open above a mean of pixels.

    Args:
        slope: of its logit.
        above: that mean.
    """

    def __init__(self, slope: float, above: float) -> None:
        super().__init__()
        self.slope, self.above = slope, above

    def logits(self, x: Tensor) -> Tensor:
        run = self.slope * (x.mean((1, 2, 3)) - self.above)
        return torch.stack([torch.zeros_like(run), run], 1)


class ThroughTheGate(Toy):
    """The margin is 1, and -1 where the gate is open: the gate is the only way.

    Args:
        gate: decides.
        tilt: what the open block adds per unit of its first pixel's change, which has the other sign where it's closed.
    """

    def __init__(self, gate: OneGate, drop: float = 2.0, tilt: float = 0.0) -> None:
        super().__init__()
        self.gate, self.drop, self.tilt = gate, drop, tilt

    def margin(self, x: Tensor) -> Tensor:
        first = x[:, :1, :1, :1]
        skip = 1 + self.tilt * (first - 0.5)
        out: Tensor = self.gate(x, skip, lambda x: -self.drop - 2 * self.tilt * (x[:, :1, :1, :1] - 0.5))
        return out[:, 0, 0, 0]
