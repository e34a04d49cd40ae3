"""Stochastic depth (Huang et al., arXiv 1603.09382): blocks dropped at random in training, none at test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from torch import nn

from robustbench_aig.gating import BlindGate
from robustbench_aig.models.gated_resnet import GatedBlock
from robustbench_aig.models.resnet import ResNet, Settings


class StochasticDepthResNet(ResNet):
    """A `ResNet` whose gates don't look at the image.

    Under the policy `sampled` it is the paper's network in training, but that every image drops blocks of its own
    and not the batch as one, like the images of the gated network that it is a control for. Under `expected` it is
    the paper's network at test: each block scaled by its survival probability (section 3, equation 5). Under
    `random` blocks are dropped at rates given from outside.

    Args:
        depth: as for `ResNet`.
        classes: number of logits.
        survivals: probability that each of the blocks runs.
        settings: as for `ResNet`.
    """

    def __init__(self, depth: int, classes: int, *, survivals: Sequence[float], **settings: Unpack[Settings]) -> None:
        self.survivals = tuple(survivals)
        super().__init__(depth, classes, **settings)

    def make_block(self, position: int, channels: int, width: int, stride: int) -> nn.Module:
        """A block that runs with its survival probability."""
        return GatedBlock(*self.make_paths(channels, width, stride), BlindGate(self.survivals[position]))
