"""Which iterate of an attack is returned, and which images need no more of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from robustbench_aig.attacks.objectives import GateFlip, moved
from robustbench_aig.attacks.problem import Problem, look, margin

Keep = Literal["last", "best", "first"]
"""The last iterate; the best one; or the first that is lost, which then isn't attacked any more.

The best has the lowest margin; for an objective about gates alone it is the one that moves them most, and none is lost.
"""

SURE = 1e-3
"""A margin must be this far below zero before an image is dropped: rounding must not decide."""


class Kept:
    """For each image of a problem the iterate to return.

    An image is lost where the deployed network, if it is deterministic, is wrong about it; a random one is wrong about
    any image now and then, and what is lost by one lucky draw isn't lost.

    Args:
        problem: all of the images.
        how: which iterate to keep.
        judge: (B,) margin of the deployed network at the last iterate (B, C, H, W).
        judged: whether the margins that `see` gets are those of the deployed network.
        moves: whether the best is what moves gates most. Then everything that is called a margin here is how far they
            have moved, times -1.
    """

    def __init__(
        self,
        problem: Problem,
        how: Keep,
        judge: Callable[[Problem, Tensor], Tensor],
        *,
        judged: bool,
        moves: bool = False,
    ) -> None:
        random = problem.view.policy.random
        if moves:
            self.how: Keep = "best" if how == "first" else how
        else:
            self.how = "last" if random and not judged else "best" if random and how == "first" else how
        self._judge, self._judged, self._moves = judge, judged and not moves, moves
        self.images = problem.x
        self.margins = torch.full_like(problem.x[:, 0, 0, 0], torch.inf)
        self._places = torch.arange(len(problem.x), device=problem.x.device)

    def start(self, places: Tensor) -> None:
        """Begin a restart with the images at these positions (b,)."""
        self._places = places

    def open(self) -> Tensor:
        """Positions (b,) of the images that aren't lost."""
        return (self.margins >= -SURE).nonzero()[:, 0]

    def see(self, problem: Problem, adv: Tensor, found: Tensor) -> Tensor | None:
        """Note an iterate.

        Args:
            problem: the images that are still attacked.
            adv: (b, C, H, W), where the attack is.
            found: (b,) margins that the attack's own pass had there.

        Returns:
            Which of them (b',) to go on with; None for all.
        """
        if self.how == "last":
            return None
        margins = found if self._judged else self._margin(problem, adv)
        self._improve(adv, margins)
        if self.how == "best":
            return None
        return self._drop(problem, adv, margins)

    def finish(self, problem: Problem, adv: Tensor, *, compare: bool) -> None:
        """Note the last iterate of a restart.

        Args:
            problem: the images that are still attacked.
            adv: (b, C, H, W).
            compare: whether there are other restarts to compare it with.
        """
        if self.how == "last" and not compare:
            self.images = self.images.index_copy(0, self._places, adv)
            return
        self._improve(adv, self._judge(problem, adv))

    def _margin(self, problem: Problem, adv: Tensor) -> Tensor:
        """(b,) of the deployed network at an iterate on the way."""
        return self._judge(problem, adv) if self._moves else deployed_margin(problem, adv, 1)

    def _improve(self, adv: Tensor, margins: Tensor) -> None:
        better = margins < self.margins[self._places]
        old = self.images[self._places]
        self.images = self.images.index_copy(0, self._places, torch.where(better.view(-1, 1, 1, 1), adv, old))
        self.margins = self.margins.index_copy(0, self._places, torch.minimum(margins, self.margins[self._places]))

    def _drop(self, problem: Problem, adv: Tensor, margins: Tensor) -> Tensor | None:
        """Which images to go on with; None for all."""
        lost = (margins < -SURE).nonzero()[:, 0]
        reference = problem.view.reference
        if len(lost) and reference is not None:
            # A copy in lower precision may be wrong where the network is right.
            problem.view.forwards += len(lost)
            with torch.no_grad():
                found = look(reference, reference, adv[lost], problem.view.policy, "sparse")
            true = margin(found.logits, problem.y[lost])
            self.margins = self.margins.index_copy(0, self._places[lost], true)
            lost = lost[true < -SURE]
        if not len(lost):
            return None
        left = torch.ones_like(margins, dtype=torch.bool)
        left[lost] = False
        go_on = left.nonzero()[:, 0]
        self._places = self._places[go_on]
        return go_on


def deployed_margin(problem: Problem, adv: Tensor, draws: int) -> Tensor:
    """(B,) margin of the deployed network; over so many draws where it is random."""
    return torch.stack([margin(each.logits, problem.y) for each in problem.deployed(adv, draws)]).mean(0)


def shortfall(problem: Problem, adv: Tensor) -> Tensor:
    """(B,) minus the mean over gates of |p' - p| of the deployed network, each p over draws where it is random."""
    passes = problem.deployed(adv, GateFlip.clean_draws)
    return -moved(problem, torch.stack([each.probabilities for each in passes]).mean(0))
