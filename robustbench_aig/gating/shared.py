"""Several draws of a random policy in one pass: what they have in common is computed once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Draws:
    """Which row of the features each draw of each image follows: two draws part where a gate decides unlike in them.

    With nine gates, 20 draws of an image run half of the blocks that 20 passes would.

    Args:
        count: K, of the draws.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._rows: Tensor | None = None

    def begin(self) -> None:
        """The next pass: all draws of an image follow the image itself."""
        self._rows = None

    def each(self, rows: Tensor) -> Tensor:
        """What the rows (S, …) are to every draw of every image: (K, B, …)."""
        if self._rows is None:
            self._rows = torch.arange(len(rows), device=rows.device).expand(self.count, -1)
        return rows[self._rows]

    def part(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Part the draws by a gate's decisions (K, B), which are 0 or 1.

        Returns:
            The new rows: (S',) the old row that each goes on from, and (S',) bool, whether the gate is open there.
        """
        assert self._rows is not None
        found, self._rows = torch.unique(2 * self._rows + (z != 0), return_inverse=True)
        return found // 2, found % 2 == 1


def add_shared(skip: Tensor, residual: Callable[[Tensor], Tensor], x: Tensor, z: Tensor, draws: Draws) -> Tensor:
    """The rows (S', C', H', W') that go on: `skip` where a gate is closed, `skip` + residual(x) where it's open.

    Args:
        skip: (S, C', H', W'), the shortcut's output.
        residual: the block, image by image; it runs once for every row that is open in any draw.
        x: (S, C, H, W), the block's input.
        z: (K, B), decisions, 0 or 1.
        draws: which row each of them is about; afterwards which new one.
    """
    parents, opened = draws.part(z)
    out = skip[parents]
    chosen = opened.nonzero()[:, 0]
    if len(chosen) == 0:
        return out
    return out.index_add_(0, chosen, residual(x[parents[chosen]]))
