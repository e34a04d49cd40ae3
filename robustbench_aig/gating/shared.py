"""Several draws of a random policy in one pass, or all that gates can decide: what is common is computed once."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from robustbench_aig.errors import InputError


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


class Patterns:
    """All that gates can decide, with its probability: every row goes on both with a gate closed and with it open.

    Gates ask in a fixed order, so what they can decide is a binary tree, whose nodes are rows. After g gates there are
    2^g · B of them: row n · B + i is image i where bit j of n is the decision of gate j. A closed block costs nothing:
    with nine gates, all 512 patterns of an image take as much as 57 passes.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """The next pass: one row per image."""
        self.rows_run = 0
        """Rows that have gone through blocks that have a gate."""
        self._log_probability: Tensor | None = None
        self._images = 0

    def part(self, log_odds: Tensor) -> Tensor:
        """Part every row by a gate that is open with log odds (S,).

        Returns:
            The decisions (2S,) of the new rows: the old ones with the gate closed, then these with it open.
        """
        if self._log_probability is None:
            self._images, self._log_probability = len(log_odds), torch.zeros_like(log_odds)
        if len(log_odds) != len(self._log_probability):
            raise InputError("features from before and behind a gate are mixed up: patterns can't be gone through")
        closed, opened = self._log_probability + F.logsigmoid(-log_odds), self._log_probability + F.logsigmoid(log_odds)
        self._log_probability = torch.cat([closed, opened])
        self.rows_run += len(log_odds)
        return torch.cat([torch.zeros_like(log_odds), torch.ones_like(log_odds)]).detach()

    def each(self, rows: Tensor) -> Tensor:
        """What rows (S, …) of any depth of the tree are to every pattern of every image: (K, B, …)."""
        if self._log_probability is None:
            return rows[None]
        copies = len(self._log_probability) // len(rows)
        return rows.repeat(copies, *[1] * (rows.dim() - 1)).view(-1, self._images, *rows.shape[1:])

    @property
    def log_probability(self) -> Tensor:
        """(K, B) of every pattern, attached to the graph; (1, 1) where no gate has parted anything."""
        if self._log_probability is None:
            return torch.zeros(1, 1)
        return self._log_probability.view(-1, self._images)
