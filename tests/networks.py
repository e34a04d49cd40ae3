"""Small networks for tests, with gates that are neither all open nor all closed."""

from typing import TypedDict, TypeVar

import torch
from torch import nn

from robustbench_aig.gating import PooledGate, Sampled, gating
from robustbench_aig.models import GatedBlock, GatedResNet, ResNet


class Channels(TypedDict):
    mean: list[float]
    std: list[float]


CHANNELS: Channels = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
M = TypeVar("M", bound=nn.Module)


def stir(model: M, seed: int = 0) -> M:
    """Batch-norm statistics as after training, and gates whose logits spread around zero."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            assert module.running_var is not None
            assert module.running_mean is not None
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.running_mean.normal_(0, 0.1, generator=generator)
        if isinstance(module, PooledGate):
            nn.init.normal_(module.fc2.weight, 0, 2, generator=generator)
            nn.init.zeros_(module.fc2.bias)
    return model.eval()


def plain(depth: int = 14, seed: int = 0) -> ResNet:
    torch.manual_seed(seed)
    return stir(ResNet(depth, 10, widths=(8, 12, 16), **CHANNELS), seed)


def gated(depth: int = 14, seed: int = 0, target: float = 0.6) -> GatedResNet:
    torch.manual_seed(seed)
    targets = [target] * ((depth - 2) // 2)
    return stir(GatedResNet(depth, 10, widths=(8, 12, 16), targets=targets, **CHANNELS), seed)


def blocks(model: nn.Module) -> list[GatedBlock]:
    return [module for module in model.modules() if isinstance(module, GatedBlock)]


def gates(model: nn.Module) -> list[PooledGate]:
    return [module for module in model.modules() if isinstance(module, PooledGate)]


def images(count: int, size: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixels (count, 3, size, size), labels and ids."""
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(count, 3, size, size, generator=generator),
        torch.randint(0, 10, (count,), generator=generator),
        torch.randperm(10 * count, generator=generator)[:count],
    )


def undecided(depth: int, x: torch.Tensor) -> GatedResNet:
    """A gated network whose gates decide what it answers: over images and draws, no class is ahead."""
    model = gated(depth)
    with torch.no_grad():
        model.head.weight.mul_(20)
        with gating(model, Sampled()):
            model.head.bias.sub_(torch.stack([model(x) for _ in range(8)]).mean((0, 1)))
    return model
