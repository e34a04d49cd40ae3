"""Networks and gates for benchmarks of speed: random weights, and gates that are open at a given rate."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.pairs import ratios
from robustbench_aig.errors import InputError
from robustbench_aig.gating import Argmax
from robustbench_aig.medians import median_with_interval
from robustbench_aig.models import ResNet, build_model
from robustbench_aig.recipes import ModelRecipe
from robustbench_aig.recipes.model_recipes import TorchvisionResNetRecipe

_SHAPE, _CLASSES = (3, 32, 32), 10


class Forced(Argmax):
    """Gates that do all the work of argmax gates, but whose decisions are given: so many are open, anywhere.

    Args:
        rate: share of open gates over all images and gates, in [0, 1].
        images: B; a pass over fewer takes the first ones' decisions.
        gates: G.
        device: of the network.
    """

    name = "forced"

    def __init__(self, rate: float, images: int, gates: int, device: torch.device) -> None:
        count = images * gates
        order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        opened = (order < round(rate * count)).float().view(images, gates).to(device)
        self._logits: Sequence[Tensor] = torch.stack([1 - opened, opened], 2).unbind(1)

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """The decisions (B,) of this gate; `logits` (B, 2) only says for how many images."""
        return super().decide(self._logits[gate][: len(logits)], gate, draw)


def check(name: str, recipe: ModelRecipe, *, gated: bool) -> None:
    """Refuse what can't be measured.

    Raises:
        InputError: it's one of torchvision's networks, or has no gates where it's to be `gated`.
    """
    if isinstance(recipe.model, TorchvisionResNetRecipe):
        raise InputError(f"{name} is a network of torchvision: take one of CIFAR's, such as cifar10/aig20")
    if gated and recipe.model.family == "plain":
        raise InputError(f"{name} has no gates to skip anything by: take a gated one, such as cifar10/aig110")


def networks(recipe: ModelRecipe, device: torch.device) -> tuple[nn.Module, nn.Module]:
    """A recipe's network and one without gates of the same depth and widths, in eval mode, frozen, random weights."""
    assert not isinstance(recipe.model, TorchvisionResNetRecipe)
    shape, classes = shape_of(recipe)
    channels = [0.5] * shape[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_model(recipe.model, classes=classes, mean=channels, std=channels)
        plain = ResNet(classes=classes, mean=channels, std=channels, **recipe.model.layout)
    return tuple(model.to(device).eval().requires_grad_(False) for model in (network, plain))  # type: ignore[return-value]


def shape_of(recipe: ModelRecipe) -> tuple[tuple[int, int, int], int]:
    """Images (C, H, W) and classes that a recipe is for; CIFAR-10's where it names none."""
    figures = recipe.figures
    if figures is None:
        return _SHAPE, _CLASSES
    channels, height, width = figures.shape
    return (channels, height, width), figures.classes


def random_batch(recipe: ModelRecipe, batch: int, device: torch.device) -> Tensor:
    """Images (B, C, H, W), the same each time."""
    return torch.rand(batch, *shape_of(recipe)[0], generator=torch.Generator().manual_seed(1)).to(device)


def speeds(seconds: dict[str, list[float]], batch: int) -> dict[str, float]:
    """Images per second of each way: medians over turns."""
    return {name: median(batch / each for each in times) for name, times in seconds.items()}


def ratio(above: Sequence[float], below: Sequence[float], factor: float = 1.0) -> dict[str, Any]:
    """Median and interval of the ratio inside each pair, times a factor."""
    return median_with_interval([factor * one for one in ratios(above, below)])._asdict()
