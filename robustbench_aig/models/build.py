"""From a recipe to a network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from robustbench_aig.models.gated_resnet import GatedResNet
from robustbench_aig.models.resnet import ResNet
from robustbench_aig.recipes import GatedResNetRecipe, ResNetRecipe


def build_model(
    recipe: ResNetRecipe | GatedResNetRecipe, *, classes: int, mean: Sequence[float], std: Sequence[float]
) -> nn.Module:
    """A freshly initialised network for a data set.

    Args:
        recipe: the `[model]` section.
        classes: number of logits.
        mean: of the training images per channel, in [0, 1].
        std: the same.
    """
    if isinstance(recipe, GatedResNetRecipe):
        return GatedResNet(
            recipe.depth,
            classes,
            mean=mean,
            std=std,
            widths=recipe.widths,
            targets=recipe.targets,
            hidden=recipe.gate_hidden,
            gate_norm=recipe.gate_norm,
        )
    return ResNet(recipe.depth, classes, mean=mean, std=std, widths=recipe.widths)
