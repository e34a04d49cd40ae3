"""Which iterate of an attack is returned, and which images need no more of them."""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_aig.attacks.attack_loop import Selection
from robustbench_aig.attacks.attack_problem import Problem, deployed_margin, look, margin
from robustbench_aig.attacks.gradient_modes import Mode
from robustbench_aig.attacks.objectives import GateFlip, Objective, moved
from robustbench_aig.recipes.attack_recipes import Keep

SURE = 1e-3
"""A margin must be this far below zero before an image is dropped: rounding must not decide."""


class Kept(Selection):
    """For each image of a problem the last iterate; the best one; or the first that is lost, which then is left alone.

    The best has the lowest margin; for an objective about gates alone it is the one that moves them most, and none is
    lost.

    An image is lost where the deployed network, if it is deterministic, is wrong about it; a random one is wrong about
    any image now and then, and what is lost by one lucky draw isn't lost.

    For an objective about gates alone everything that is called a margin here is how far they have moved, times -1.

    Args:
        problem: all of the images.
        how: which iterate to keep.
        mode: says whether the margins that `see` gets are those of the deployed network, and which these are.
        objective: says whether it is about gates alone.
        several: whether there are restarts to compare with each other.
    """

    def __init__(self, problem: Problem, how: Keep, mode: Mode, objective: Objective, *, several: bool = False) -> None:
        random, judged = problem.view.policy.random, mode.judges(problem.view.policy)
        if objective.moves:
            self.how: Keep = "best" if how == "first" else how
        else:
            self.how = "last" if random and not judged else "best" if random and how == "first" else how
        self._moves, self._judged = objective.moves, judged and not objective.moves
        self._judge = shortfall if objective.moves else mode.deployed_margin
        self._compare = several or self.how != "last"
        self.images = problem.x
        self.margins = torch.full_like(problem.x[:, 0, 0, 0], torch.inf)
        self._places = self._all = torch.arange(len(problem.x), device=problem.x.device)

    def start(self, restart: int) -> Tensor | None:
        """After the first all images again, or those that aren't lost where the others need no more iterates."""
        if restart and self.how == "first":
            self._places = (self.margins >= -SURE).nonzero()[:, 0]
            return self._places
        self._places = self._all
        return None

    def see(self, problem: Problem, adv: Tensor, margins: Tensor) -> Tensor | None:
        """Compare it, unless the last counts, and drop what is lost where the first counts."""
        if self.how == "last":
            return None
        margins = margins if self._judged else self._margin(problem, adv)
        self._improve(adv, margins)
        if self.how == "best":
            return None
        return self._drop(problem, adv, margins)

    def finish(self, problem: Problem, adv: Tensor) -> None:
        """Compare it where there is anything to compare it with."""
        if self._compare:
            self._improve(adv, self._judge(problem, adv))
        else:
            self.images = self.images.index_copy(0, self._places, adv)

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


def shortfall(problem: Problem, adv: Tensor) -> Tensor:
    """(B,) minus the mean over gates of |p' - p| of the deployed network, each p over draws where it is random."""
    passes = problem.deployed(adv, GateFlip.clean_draws)
    return -moved(problem, torch.stack([each.probabilities for each in passes]).mean(0))
