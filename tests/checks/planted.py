"""Networks, attacks and unions that are wrong in one way each: what checks are there to find."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbench_aig.attacks import Apgd, Attack, Pgd, View
from robustbench_aig.checks.worst_case import Worst
from robustbench_aig.data import DataSet
from robustbench_aig.evaluation import Judgement
from robustbench_aig.gating import PooledGate, Sampled
from robustbench_aig.models import GatedBlock, MacProfile
from robustbench_aig.models.resnet import Normalise
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import PgdRecipe
from robustbench_aig.threat import Threat


class Wrapped(nn.Module):
    """A network with something done to its images or outputs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits


class ScaledLogits(Wrapped):
    """Logits a thousand times as large: the softmax is 0 or 1, and the cross-entropy has no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return 1000 * super().forward(x)


class LastDigit(Wrapped):
    """Margins of a few last digits of the logits, which hardly change a verdict."""

    def forward(self, x: Tensor) -> Tensor:
        return 1 + 3e-8 * super().forward(x)


def faint_gates(model: nn.Module) -> nn.Module:
    """The same decisions from logits ten thousand times as small."""
    copied = copy.deepcopy(model)
    for module in copied.modules():
        if isinstance(module, PooledGate):
            module.fc2.weight.data *= 1e-4
            module.fc2.bias.data *= 1e-4
    return copied


class SoftmaxOutput(Wrapped):
    """Probabilities for logits."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(1)


class IgnoresGradient(Wrapped):
    """The images are taken out of the graph."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.detach())


class Rounded(Wrapped):
    """Pixels of eight levels, and no gradient through the rounding."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((7 * x).round() / 7)


class RoundedStraightThrough(Wrapped):
    """Pixels of eight levels, and a gradient as if there were no rounding."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + ((7 * x).round() / 7 - x).detach())


class NotANumber(Wrapped):
    """NaN for whatever is changed: a comparison with it is false, so that no attack would seem to succeed."""

    def __init__(self, model: nn.Module, known: Tensor) -> None:
        super().__init__(model)
        self.known = {image.numpy().tobytes() for image in known}

    def forward(self, x: Tensor) -> Tensor:
        strange = torch.tensor([image.detach().float().numpy().tobytes() not in self.known for image in x])
        return super().forward(x).masked_fill(strange[:, None], torch.nan)


class Dropping(Wrapped):
    """Dropout that is never switched off, in a network that says nothing of it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.dropout(x, 0.1, training=True))


class OtherAlone(Wrapped):
    """Answers something else where there is a single image."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits.flip(1) if len(x) == 1 else logits


class NextClass(Wrapped):
    """Its classes are counted from another end: logit k + 1 is that of class k."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).roll(1, 1)


class ReversedChannels(Wrapped):
    """Made for BGR where it's given RGB."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flip(1))


class UpTo255(Wrapped):
    """Made for pixels from 0 to 255."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x / 255)


class Red(Wrapped):
    """Looks at the first channel of colour images."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, :1])


def normalised_twice(model: nn.Module, known: Tensor) -> nn.Module:
    """Mean and standard deviation are the network's affair, and here somebody else's as well."""
    mean, std = known.mean((0, 2, 3)).tolist(), known.std((0, 2, 3)).tolist()
    return nn.Sequential(Normalise(mean, std), model).eval()


class CutGate(PooledGate):
    """Decides as ever, and sends no gradient to the features."""

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x.detach())


def half_cut(model: nn.Module) -> nn.Module:
    """A copy whose every other gate sends no gradient to the features; those between do."""
    changed = copy.deepcopy(model)
    for gate in [module for module in changed.modules() if isinstance(module, PooledGate)][1::2]:
        gate.__class__ = CutGate
    return changed


class CoinGate(PooledGate):
    """Open with the same probability whatever the image."""

    def logits(self, x: Tensor) -> Tensor:
        return torch.tensor([[0.0, 0.3]], device=x.device).expand(len(x), 2) + 0 * super().logits(x)


class SecretGate(PooledGate):
    """Samples whatever the policy says."""

    def decide(self, logits: Tensor) -> Tensor:
        super().decide(logits)  # which is recorded, and not done
        return Sampled().decide(logits, 0, 0)


class BatchNoiseGate(PooledGate):
    """Samples with noise that is the batch's: the same for the first image of every batch, whichever that is."""

    def decide(self, logits: Tensor) -> Tensor:
        super().decide(logits)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Sampled().decide(logits, 0, 0)


def with_gates(model: nn.Module, kind: type[PooledGate]) -> nn.Module:
    """A copy of a gated network whose gates are of another kind, with the same weights."""
    changed = copy.deepcopy(model)
    for module in changed.modules():
        if isinstance(module, PooledGate):
            module.__class__ = kind
    return changed


class StuckBatchNorm(nn.BatchNorm2d):
    """Takes its statistics from the batch, whatever the mode of the network."""

    def train(self, mode: bool = True) -> StuckBatchNorm:
        return super().train(True)


def stuck_in_training(model: nn.Module) -> nn.Module:
    """A copy whose batch-norm cannot be put into eval mode."""
    changed = copy.deepcopy(model)
    for module in changed.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = StuckBatchNorm
    return changed.eval()


def left_in_training(model: nn.Module) -> nn.Module:
    """A copy that somebody forgot to put into eval mode: an attack's guard does, the judge takes it as it is."""
    return copy.deepcopy(model).train()


class WinnersTakeAll(nn.Module):
    """Keeps the largest twentieth of an image's features (Xiao et al., arXiv 1905.10510): flat almost everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        least = flat.topk(max(1, flat.shape[1] // 20), 1).values[:, -1]
        return x * (x >= least.view(-1, 1, 1, 1))


def winners_take_all(data: DataSet) -> nn.Module:
    """A small network of such layers, trained for seconds."""
    learnt = data.train.limit(5000, 0)
    x, y = learnt.batch(slice(None)), learnt.labels
    channels, height, width = data.shape
    features = 32 * ceil(height / 2) * ceil(width / 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            *_layer(channels, 16, 1),
            *_layer(16, 32, 2),
            *_layer(32, 32, 1),
            nn.Flatten(),
            nn.Linear(features, len(data.classes)),
        )
        optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9, nesterov=True, weight_decay=5e-4)
        for _ in range(6):
            for index in torch.split(torch.randperm(len(x)), 64):
                optimizer.zero_grad()
                F.cross_entropy(model(x[index]), y[index]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return model.eval()


def _layer(channels: int, width: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 3, padding=1, stride=stride), nn.BatchNorm2d(width), WinnersTakeAll()]


class Ours(Attack):
    """What the wrong attacks have in common."""

    provider: ClassVar[str] = "aigrob"
    own_noise: ClassVar[bool] = True


@dataclass(frozen=True)
class OneStart(Pgd):
    """Draws the start of one image, and takes it for all."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        return super().__call__(model, x, y, threat, Stream(torch.zeros_like(stream.keys)))


@dataclass(frozen=True)
class SameRestarts(Apgd):
    """Begins every restart where the first one began."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        return Apgd(self.recipe.changed(keep="best", restarts=1))(model, x, y, threat, stream)


class Idle(Ours):
    """Never leaves the clean image."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        return x


class Leaves(Ours):
    """Goes twice as far as it may."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        return Pgd(PgdRecipe(steps=5))(model, x, y, Threat(threat.norm, 2 * threat.radius, "twice"), stream)


class Crashes(Ours):
    """Raises an error."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        raise RuntimeError("out of luck")


@dataclass(frozen=True)
class OffBy255(Ours):
    """Takes epsilon for what it is on pixels up to 255, or the reverse.

    Attributes:
        factor: of epsilon.
    """

    factor: Fraction = Fraction(1, 255)

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        eps = min(threat.radius * self.factor, Fraction(1))
        return Pgd(PgdRecipe(steps=10, step=0.25))(model, x, y, Threat(threat.norm, eps, "off"), stream)


class Descends(Ours):
    """Has the sign wrong: it makes images safer."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        return 2 * x - Pgd(PgdRecipe(steps=5, step=0.25, random_start=False))(model, x, y, threat, stream)


@dataclass(frozen=True)
class ThrowsAway(Pgd):
    """Goes half of the way back at the end."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        return (super().__call__(model, x, y, threat, stream) + x) / 2


TINY_STEP = Pgd(PgdRecipe(steps=20, step=0.002))
"""Never gets further than a twenty-fifth of epsilon from its random start."""

TOO_SHORT = Pgd(PgdRecipe(steps=10, step=0.02, random_start=False))
"""A fifth of the way."""


def lucky_draw(judged: Sequence[Judgement]) -> Worst:
    """An image is lost as soon as a single draw of a single attack is wrong."""
    never_wrong = torch.stack([each.correct == each.draws for each in judged]).double()
    return Worst(never_wrong.argmin(0), never_wrong.amin(0))


def noisy_minimum(judged: Sequence[Judgement]) -> Worst:
    """The lowest of an image's scores, on the draws that it was chosen by."""
    right = torch.stack([each.correct.double() / each.draws for each in judged])
    return Worst(right.argmin(0), right.amin(0))


def shortcuts(model: nn.Module, x: Tensor) -> tuple[int, ...]:
    """Multiply-accumulates of the 1×1 convolution on the shortcut of each gated block, for an image of `x` (1, …)."""
    costs: list[int] = []

    def note(shortcut: nn.Module, _: object, out: Tensor) -> None:
        weights = sum(part.weight.numel() for part in shortcut.modules() if isinstance(part, nn.Conv2d))
        costs.append(weights * out.shape[2] * out.shape[3])

    blocks = [block for block in model.modules() if isinstance(block, GatedBlock)]
    hooks = [block.shortcut.register_forward_hook(note) for block in blocks]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return tuple(costs)


def without_closed_shortcuts(profile: MacProfile, costs: Sequence[int]) -> MacProfile:
    """Shortcuts for parts of the blocks that gates can skip: they aren't."""
    blocks = tuple(block + cost for block, cost in zip(profile.blocks, costs, strict=True))
    return MacProfile(profile.fixed - sum(costs), blocks)


def shortcuts_twice(profile: MacProfile, costs: Sequence[int]) -> MacProfile:
    """Shortcuts among what always runs, where they are already, and as parts of the blocks."""
    blocks = tuple(block + cost for block, cost in zip(profile.blocks, costs, strict=True))
    return MacProfile(profile.fixed, blocks)
