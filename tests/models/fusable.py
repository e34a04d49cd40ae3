"""Networks that have fused copies, and how far apart two answers are."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbench_aig.gating import Argmax, Execution, Expected, Frozen, Gate, Open, Policy, Random, Sampled, gating
from robustbench_aig.models import GatedResNet
from robustbench_aig.models.preact_resnet import PreActResNet
from robustbench_aig.models.stochastic_depth import StochasticDepthResNet
from robustbench_aig.models.torchvision import torchvision_resnet
from robustbench_aig.randomness import Stream
from tests.networks import CHANNELS, gated, plain, stir

COUNT = 7
Build = Callable[[], nn.Module]


class Bright(Gate):
    """A gate of someone else's: open where the features are bright."""

    def logits(self, x: Tensor) -> Tensor:
        score = (x.mean((1, 2, 3)) - 0.8) * 5
        return torch.stack([-score, score], 1)


def of_depth_14(build: Callable[..., nn.Module], **settings: object) -> nn.Module:
    torch.manual_seed(0)
    return stir(build(14, 10, widths=(4, 6, 8), **settings, **CHANNELS))


def laid_out(depth: int, **layout: Any) -> nn.Module:
    """A gated network of six blocks, one of them forced open."""
    torch.manual_seed(0)
    settings = {"widths": (4, 6, 8), **layout}
    return stir(GatedResNet(depth, 10, targets=[0.6, 0.6, 0.6, 0.6, 1, 0.6], **settings, **CHANNELS))


def bright() -> nn.Module:
    model = gated()
    for stage in model.stages:
        stage[1].gate = Bright()  # type: ignore[index]
    return model.eval()


def of_torchvision(name: str) -> nn.Module:
    torch.manual_seed(1)
    return stir(torchvision_resnet(name, 10, **CHANNELS))


GATED: dict[str, Build] = {
    "gated": gated,
    "forced": lambda: of_depth_14(GatedResNet, targets=[1, 0.6, 0.6, 1, 0.6, 0.6]),
    "paper": lambda: of_depth_14(GatedResNet, targets=[0.6] * 6, gate_norm=False),
    "stochastic": lambda: of_depth_14(StochasticDepthResNet, survivals=[1, 0.9, 0.5, 0.5, 0.5, 0.2]),
    "foreign gate": bright,
    "bottleneck": lambda: laid_out(20, bottleneck=True),
    "imagenet": lambda: laid_out(20, bottleneck=True, stages=[1, 2, 1, 2], widths=(4, 4, 6, 8), stem="imagenet"),
}


PLAIN: dict[str, Build] = {
    "plain": plain,
    "preact": lambda: of_depth_14(PreActResNet),
    "resnet18": lambda: of_torchvision("resnet18"),
    "resnet50": lambda: of_torchvision("resnet50"),
}


POLICIES: dict[str, Callable[[], Policy]] = {
    "argmax": Argmax,
    "sampled": lambda: Sampled(Stream.of(torch.arange(COUNT), 1)),
    "expected": Expected,
    "open": Open,
    "frozen": lambda: Frozen((torch.arange(COUNT * 6).view(COUNT, 6) * 7 % 11 < 6).float()),
    "soft": lambda: Frozen((torch.arange(COUNT * 6).view(COUNT, 6) * 7 % 11 / 11).round(decimals=1)),
    "closed": lambda: Random(torch.zeros(6), Stream.of(torch.arange(COUNT), 2)),
}


def passes(model: nn.Module, policy: Policy, execution: Execution, x: Tensor) -> list[Tensor]:
    """Logits with a graph and without, the loss's gradient, and the gates' probabilities and decisions."""
    with torch.no_grad(), gating(model, policy, execution=execution):
        bare = model(x.clone())
    tracked = x.clone().requires_grad_()
    with gating(model, policy, execution=execution) as trace:
        logits = model(tracked)
        loss = F.cross_entropy(logits, torch.arange(len(x)) % 10, reduction="sum")
    gates = [trace.probabilities.detach(), trace.decisions.detach()] if trace.gates else []
    return [logits.detach(), bare, torch.autograd.grad(loss, tracked)[0], *gates]


def far(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm().clamp_min(1e-12))


def assert_same(model: nn.Module, copied: nn.Module, policy: Policy, execution: Execution, x: Tensor) -> None:
    wanted, found = passes(model, policy, execution, x), passes(copied, policy, execution, x)
    assert found[0].dtype == found[1].dtype == torch.float32
    # One gate that decides otherwise would be farther.
    assert [a.shape for a in found] == [b.shape for b in wanted]
    assert max(far(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-4
