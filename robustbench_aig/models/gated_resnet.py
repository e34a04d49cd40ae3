"""The gated twin of the residual network: ConvNet-AIG (Veit and Belongie, arXiv 1711.11503)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor, nn

from robustbench_aig.gating import Gate, OpenGate, PooledGate
from robustbench_aig.models.foreign.wrapper import ForeignNetwork
from robustbench_aig.models.resnet import Block, ResNet, Settings


class GatedBlock(Block):
    """relu(shortcut(x) + z · residual(x)), z decided by the gate from the block's input. Soft gates add otherwise.

    Args:
        shortcut: from the block's input to the shape of its output.
        residual: the branch that the gate decides on, to the same shape.
        gate: decides for each image whether the residual branch runs.
    """

    def __init__(self, shortcut: nn.Module, residual: nn.Module, gate: Gate) -> None:
        super().__init__(shortcut, residual)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, width, H / stride, W / stride)."""
        out: Tensor = self.gate(x, self.shortcut(x), self.residual)
        return out.relu()


class GatedResNet(ResNet):
    """A `ResNet` in which every block, those that change the resolution included, has a gate.

    Args:
        depth: as for `ResNet`.
        classes: number of logits.
        targets: execution rate that each gate is trained towards, one per block; a gate with target 1 is forced open.
        hidden: width of the gates' hidden layer.
        gate_norm: batch-norm in the gate, as in the official code but not in the paper.
        settings: as for `ResNet`.

    Raises:
        ValueError: there are not as many targets as blocks.
    """

    def __init__(
        self,
        depth: int,
        classes: int,
        *,
        targets: Sequence[float],
        hidden: int = 16,
        gate_norm: bool = True,
        **settings: Unpack[Settings],
    ) -> None:
        self.targets = tuple(targets)
        self._hidden, self._gate_norm = hidden, gate_norm
        super().__init__(depth, classes, **settings)

    def make_block(self, position: int, channels: int, width: int, stride: int) -> nn.Module:
        """A gated block; its gate is forced open where the target rate is 1."""
        if len(self.targets) != self.blocks:
            raise ValueError(f"the network has {self.blocks} gates, got {len(self.targets)} targets")
        forced = self.targets[position] >= 1
        gate = OpenGate() if forced else PooledGate(channels, hidden=self._hidden, norm=self._gate_norm)
        return GatedBlock(*self.make_paths(channels, width, stride), gate)


def shares_draws(model: nn.Module) -> bool:
    """Whether `gating` can make several draws in a pass: for gated residual networks of ours, also defended ones.

    What else a network does with the features could mix up their rows. Soft gates draw nothing and leave them alone.
    """
    while isinstance(model, nn.Sequential | ForeignNetwork) and list(model.children()):
        model = list(model.children())[-1]
    gates = {module for module in model.modules() if isinstance(module, Gate)}
    of_blocks = {block.gate for block in model.modules() if isinstance(block, GatedBlock)}
    return isinstance(model, ResNet) and bool(gates) and gates == of_blocks
