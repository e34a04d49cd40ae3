"""Torchvision's residual networks, with the normalisation as their first layer.

Importing torchvision takes a second and a half, most of it for torch's compiler, so it's imported where it is used.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from robustbench_aig.models.resnet import Normalise


def torchvision_resnet(architecture: str, classes: int, *, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """One of torchvision's ResNets as it is there, freshly initialised.

    Args:
        architecture: its name in torchvision.
        classes: number of logits.
        mean: per channel in [0, 1].
        std: the same.
    """
    from torchvision import models  # noqa: PLC0415 - see above

    network = models.get_model(architecture, weights=None, num_classes=classes)
    return nn.Sequential(OrderedDict(normalise=Normalise(mean, std), network=network))


def resnet_class(kind: type[nn.Module]) -> str | None:
    """The name of a class that torchvision builds its ResNets of, such as `BasicBlock`; None for any other class."""
    return kind.__name__ if kind.__module__ == "torchvision.models.resnet" else None
