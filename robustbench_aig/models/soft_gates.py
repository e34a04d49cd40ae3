"""Residual networks with soft gates, which the gated network sets itself against: their blocks are never skipped."""

from __future__ import annotations

from typing import Unpack

from torch import nn

from robustbench_aig.gating.soft import Excitation, TransformGate
from robustbench_aig.models.gated_resnet import GatedBlock
from robustbench_aig.models.resnet import ResNet, Settings


class SEResNet(ResNet):
    """SE-ResNet (Hu et al., arXiv 1709.01507): each channel that a block adds is scaled by what all of them are.

    Args:
        depth: as for `ResNet`.
        classes: number of logits.
        reduction: channels per unit of the gates' hidden layers.
        settings: as for `ResNet`.
    """

    def __init__(self, depth: int, classes: int, *, reduction: int = 16, **settings: Unpack[Settings]) -> None:
        self._reduction = reduction
        super().__init__(depth, classes, **settings)

    def make_block(self, position: int, channels: int, width: int, stride: int) -> nn.Module:
        """A block whose gate looks at the branch's output."""
        gate = Excitation(self.expansion * width, reduction=self._reduction)
        return GatedBlock(*self.make_paths(channels, width, stride), gate)


class HighwayResNet(ResNet):
    """Residual network whose shortcuts fade as much as the branches come in (He et al., arXiv 1603.05027, section 3.1).

    Args:
        depth: as for `ResNet`.
        classes: number of logits.
        gate_bias: of the gates at the beginning.
        settings: as for `ResNet`.
    """

    def __init__(self, depth: int, classes: int, *, gate_bias: float, **settings: Unpack[Settings]) -> None:
        self._gate_bias = gate_bias
        super().__init__(depth, classes, **settings)

    def make_block(self, position: int, channels: int, width: int, stride: int) -> nn.Module:
        """A block whose gate looks at its input."""
        gate = TransformGate(channels, self.expansion * width, stride, bias=self._gate_bias)
        return GatedBlock(*self.make_paths(channels, width, stride), gate)
