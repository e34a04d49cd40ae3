"""What networks measure: parameters and multiply-accumulates, without training or even storing them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from robustbench_aig.models.macs import MacProfile, profile_macs
from robustbench_aig.models.network_factory import build_model
from robustbench_aig.recipes import Figures, GatedResNetRecipe, ModelSettings, ResNetRecipe
from robustbench_aig.threat import Shape


def measure(settings: ModelSettings, classes: int, shape: Shape) -> tuple[Figures, MacProfile]:
    """Parameters and multiply-accumulates of a network for images (C, H, W)."""
    with torch.device("meta"):
        model = build_model(settings, classes=classes, mean=[0.0] * shape[0], std=[1.0] * shape[0])
    profile = profile_macs(model, shape)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Figures(classes=classes, shape=list(shape), parameters=parameters, macs=profile.total), profile


def matched_depth(gated: GatedResNetRecipe, rates: Sequence[float], classes: int, shape: Shape) -> int:
    """Depth of the plain network whose compute is nearest to the mean of a gated one.

    Only where all stages have equally many blocks there is a series of depths to choose from; elsewhere it is the
    gated network's own.

    Args:
        gated: the network with gates.
        rates: (G,) execution rates of its gates.
        classes: number of logits.
        shape: (C, H, W) of an image.
    """
    if gated.stages is not None:
        return gated.depth
    profile = measure(gated, classes, shape)[1]
    mean = profile.fixed + sum(rate * macs for rate, macs in zip(rates, profile.blocks, strict=True))

    def distance(depth: int) -> float:
        plain = ResNetRecipe(algorithm="resnet", **gated.layout | {"depth": depth})
        return abs(measure(plain, classes, shape)[0].macs - mean)

    step = 9 if gated.bottleneck else 6
    return min(range(step + 2, gated.depth + 1, step), key=distance)
