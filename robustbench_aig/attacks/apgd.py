"""AutoPGD: a gradient attack without a step size to choose (Croce and Hein, arXiv 2003.01690, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_aig.attacks.attack_loop import Ascent
from robustbench_aig.attacks.gradient import GradientAttack, random_start
from robustbench_aig.attacks.gradient_modes import Estimate
from robustbench_aig.attacks.iterate_selection import Keep
from robustbench_aig.attacks.problem import Problem
from robustbench_aig.attacks.protocol import View
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Threat

_MOMENTUM = 0.75
_RISES = 0.75
"""A step size stays where at least this share of the steps since the last checkpoint raised the objective."""


@dataclass(frozen=True)
class Apgd(GradientAttack):
    """AutoPGD.

    Attributes:
        steps: number of gradient steps.
        restarts: how often to begin, from random points of the ball.
        keep: which iterate to return; published: the first that is lost.
        exact: whether to compute in float32, even where others don't.
    """

    steps: int = 100
    restarts: int = 1
    keep: Keep = "first"
    exact: bool = False

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The iterate that `keep` says."""
        problem = Problem(model, x, y, threat, stream)
        return self._climb(
            problem,
            lambda own: _Adaptive(random_start(own.x, threat, own.stream), 2 * threat.value, checkpoints(self.steps)),
            steps=self.steps,
            restarts=self.restarts,
            keep=self.keep,
        )


def checkpoints(steps: int) -> set[int]:
    """The numbers of steps after which step sizes are looked at: w_j = ⌈p_j · steps⌉ (section 3.1).

    p_0 = 0, p_1 = 0.22, p_(j+1) = p_j + max(p_j - p_(j-1) - 0.03, 0.06).
    """
    found, before, now = set(), 0.0, 0.22
    while now < 1:
        # The sums are of hundredths; what float adds to them must not be rounded up.
        found.add(-int(-round(now * steps, 6) // 1))
        before, now = now, now + max(now - before - 0.03, 0.06)
    return found


class _Adaptive(Ascent):
    """Momentum, and for each image its own step size, halved where it stops to pay.

    Args:
        start: (B, C, H, W).
        size: of the first steps.
        at: numbers of the steps after which sizes are looked at.
    """

    def __init__(self, start: Tensor, size: float, at: set[int]) -> None:
        self.adv = self._before = self._best = self._best_gradient = start
        per_image = torch.zeros_like(start[:, 0, 0, 0])
        self._size = torch.full_like(per_image, size)
        self._top = torch.full_like(per_image, -torch.inf)  # highest objective so far
        self._last = torch.full_like(per_image, torch.inf)  # objective at the iterate before
        self._rises = per_image
        self._checked_top = self._top
        self._halved = torch.ones_like(per_image, dtype=torch.bool)
        self._at, self._done, self._checked = at, 0, 0

    @property
    def result(self) -> Tensor:
        return self._best

    def step(self, problem: Problem, estimate: Estimate) -> None:
        self._note(estimate)
        gradient = estimate.gradient
        if self._done in self._at:
            gradient = self._check(gradient)
        threat, x = problem.threat, problem.x
        ahead = threat.project(self.adv + _wide(self._size) * threat.steepest(gradient), x)
        share = _MOMENTUM if self._done else 1.0
        mixed = self.adv + share * (ahead - self.adv) + (1 - share) * (self.adv - self._before)
        self._before, self.adv = self.adv, threat.project(mixed, x)
        self._done += 1

    def _note(self, estimate: Estimate) -> None:
        """Whether the last step raised the objective, and whether it's the highest so far."""
        value = estimate.value
        self._rises = self._rises + (value > self._last).to(value)
        better = value > self._top
        self._best = torch.where(_wide(better), self.adv, self._best)
        self._best_gradient = torch.where(_wide(better), estimate.gradient, self._best_gradient)
        self._top = torch.maximum(value, self._top)
        self._last = value

    def _check(self, gradient: Tensor) -> Tensor:
        """Halve step sizes by conditions 1 and 2 of section 3.1, and go on from the best point there."""
        too_few = self._rises < _RISES * (self._done - self._checked)
        stuck = ~self._halved & (self._checked_top >= self._top)
        halve = too_few | stuck
        self._size = torch.where(halve, self._size / 2, self._size)
        self.adv = torch.where(_wide(halve), self._best, self.adv)
        self._halved, self._checked_top, self._checked = halve, self._top, self._done
        self._rises = torch.zeros_like(self._rises)
        return torch.where(_wide(halve), self._best_gradient, gradient)


def _wide(per_image: Tensor) -> Tensor:
    return per_image.view(-1, 1, 1, 1)
