"""Torchvision's residual networks, with the normalisation as their first layer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn
from torchvision import models

from robustbench_aig.models.resnet import Normalise


def torchvision_resnet(architecture: str, classes: int, *, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """One of torchvision's ResNets as it is there, freshly initialised.

    Args:
        architecture: its name in torchvision.
        classes: number of logits.
        mean: per channel in [0, 1].
        std: the same.
    """
    network = models.get_model(architecture, weights=None, num_classes=classes)
    return nn.Sequential(OrderedDict(normalise=Normalise(mean, std), network=network))
