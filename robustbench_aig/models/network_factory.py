"""From a recipe to a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from robustbench_aig.models.gated_resnet import GatedResNet
from robustbench_aig.models.preact_resnet import PreActResNet
from robustbench_aig.models.resnet import ResNet
from robustbench_aig.models.soft_gates import HighwayResNet, SEResNet
from robustbench_aig.models.stochastic_depth import StochasticDepthResNet
from robustbench_aig.models.torchvision import torchvision_resnet
from robustbench_aig.recipes import (
    GatedResNetRecipe,
    HighwayResNetRecipe,
    ModelSettings,
    PreActResNetRecipe,
    SEResNetRecipe,
    StochasticDepthRecipe,
    TorchvisionResNetRecipe,
    WideResNetRecipe,
)


def build_model(recipe: ModelSettings, *, classes: int, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """A freshly initialised network for a data set.

    Args:
        recipe: the `[model]` section.
        classes: number of logits.
        mean: of the training images per channel, in [0, 1].
        std: the same.
    """
    if isinstance(recipe, TorchvisionResNetRecipe):
        return torchvision_resnet(recipe.architecture, classes, mean=mean, std=std)
    build: Callable[..., nn.Module] = ResNet
    if isinstance(recipe, GatedResNetRecipe):
        build = partial(GatedResNet, targets=recipe.targets, hidden=recipe.gate_hidden, gate_norm=recipe.gate_norm)
    elif isinstance(recipe, StochasticDepthRecipe):
        build = partial(StochasticDepthResNet, survivals=recipe.targets)
    elif isinstance(recipe, SEResNetRecipe):
        build = partial(SEResNet, reduction=recipe.reduction)
    elif isinstance(recipe, HighwayResNetRecipe):
        build = partial(HighwayResNet, gate_bias=recipe.gate_bias)
    elif isinstance(recipe, PreActResNetRecipe | WideResNetRecipe):
        build = PreActResNet
    return build(classes=classes, mean=mean, std=std, **recipe.layout)
