"""Stochastic depth (Huang et al., arXiv 1603.09382): blocks dropped at random in training, none at test."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from robustbench_aig.gating import BlindGate
from robustbench_aig.models.gated_resnet import GatedBlock
from robustbench_aig.models.resnet import ResNet


class StochasticDepthResNet(ResNet):
    """A `ResNet` whose gates don't look at the image.

    Under the policy `sampled` it is the paper's network in training, but that every image drops blocks of its own
    and not the batch as one, like the images of the gated network that it is a control for. Under `expected` it is
    the paper's network at test: each block scaled by its survival probability (section 3, equation 5). Under
    `random` blocks are dropped at rates given from outside.

    Args:
        depth: 6n + 2.
        classes: number of logits.
        mean: per channel, as for `ResNet`.
        std: the same.
        widths: channels of the three stages.
        survivals: probability that each of the 3n blocks runs.
    """

    def __init__(
        self,
        depth: int,
        classes: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        widths: Sequence[int] = (16, 32, 64),
        survivals: Sequence[float],
    ) -> None:
        self.survivals = tuple(survivals)
        super().__init__(depth, classes, mean=mean, std=std, widths=widths)

    def make_block(self, position: int, channels: int, width: int, stride: int) -> nn.Module:
        """A block that runs with its survival probability."""
        return GatedBlock(channels, width, stride, BlindGate(self.survivals[position]))
