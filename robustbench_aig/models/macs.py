"""Multiply-accumulates of a network: what always runs, and what each gate can skip."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from robustbench_aig.gating import Open, gating
from robustbench_aig.models.gated_resnet import GatedBlock


@dataclass(frozen=True)
class MacProfile:
    """Multiply-accumulates per image of convolutions and linear layers (batch-norm, ReLU, pooling not counted).

    Attributes:
        fixed: what runs for every image, the gates themselves included.
        blocks: what each gated block costs when it runs, in the order of the gates.
    """

    fixed: int
    blocks: tuple[int, ...]

    @property
    def total(self) -> int:
        """With every gate open."""
        return self.fixed + sum(self.blocks)

    def executed(self, decisions: Tensor) -> Tensor:
        """(B,) float64 multiply-accumulates for decisions (B, G); a soft decision runs its block in full."""
        costs = torch.tensor(self.blocks, dtype=torch.float64, device=decisions.device)
        return self.fixed + (decisions != 0).to(torch.float64) @ costs


def profile_macs(model: nn.Module, shape: tuple[int, int, int]) -> MacProfile:
    """Count on the meta device, without computing anything.

    Args:
        model: in any mode; it isn't touched.
        shape: (C, H, W) of one image.
    """
    counted = copy.deepcopy(model).to("meta").eval()
    blocks = [(name, m) for name, m in counted.named_modules() if isinstance(m, GatedBlock)]
    with FlopCounterMode(display=False) as counter, gating(counted, Open()), torch.no_grad():
        counted(torch.empty(1, *shape, device="meta"))
    counts = counter.get_flop_counts()
    root = type(counted).__name__
    # torch counts a multiply-accumulate as two operations.
    conditional = tuple(sum(counts[f"{root}.{name}.residual"].values()) // 2 for name, _ in blocks)
    return MacProfile(counter.get_total_flops() // 2 - sum(conditional), conditional)
