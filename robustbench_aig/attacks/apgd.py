"""AutoPGD: a gradient attack without a step size to choose (Croce and Hein, arXiv 2003.01690, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_aig.attacks.attack_interface import View
from robustbench_aig.attacks.attack_loop import Ascent
from robustbench_aig.attacks.attack_problem import Problem
from robustbench_aig.attacks.fgsm_and_pgd import GradientAttack, random_start
from robustbench_aig.attacks.gradient_modes import Estimate
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import ApgdRecipe
from robustbench_aig.threat import Threat

_MOMENTUM = 0.75
_FIRST = 2.0
"""The first steps, as a share of epsilon."""
_DENSEST, _DENSER = 0.2, 1.5
"""Sparse steps go along this share of the pixels at first, and later along fewer than have changed by this factor."""
_SPARSER = 0.95
"""A point has become sparser where fewer than this share of the pixels is changed that was at the last look."""
_SHORTER, _SHORTEST = 1.5, 0.1
"""Sparse steps are divided by this, down to this share of epsilon, which they begin with."""
_RISES = 0.75
"""A step size stays where at least this share of the steps since the last checkpoint raised the objective."""


@dataclass(frozen=True)
class Apgd(GradientAttack):
    """AutoPGD; published is to keep the first iterate that is lost."""

    recipe: ApgdRecipe

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The iterate that `keep` says."""
        recipe = self.recipe

        def begin(own: Problem) -> Ascent:
            start = random_start(own.x, threat, own.stream)
            if threat.ball.sparse:
                return _Sparse(start, -(-recipe.steps // 25))
            return _Adaptive(start, checkpoints(recipe.steps))

        problem = Problem(model, x, y, threat, stream)
        return self._climb(problem, begin, steps=recipe.steps, restarts=recipe.restarts, keep=recipe.keep)


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


class _FromBest(Ascent):
    """A method that knows the best point so far, and may go back to it.

    Args:
        start: (B, C, H, W).
    """

    def __init__(self, start: Tensor) -> None:
        self.adv = self._best = self._best_gradient = start
        self._top = torch.full_like(start[:, 0, 0, 0], -torch.inf)  # highest objective so far

    @property
    def result(self) -> Tensor:
        return self._best

    def _note(self, estimate: Estimate) -> None:
        better = estimate.value > self._top
        self._best = torch.where(_wide(better), self.adv, self._best)
        self._best_gradient = torch.where(_wide(better), estimate.gradient, self._best_gradient)
        self._top = torch.maximum(estimate.value, self._top)

    def _return(self, images: Tensor, gradient: Tensor) -> Tensor:
        """Go back with some images (B,), and say the gradients (B, C, H, W) where all are then."""
        self.adv = torch.where(_wide(images), self._best, self.adv)
        return torch.where(_wide(images), self._best_gradient, gradient)


class _Adaptive(_FromBest):
    """Momentum, and for each image its own step size, a share of epsilon that is halved where it stops to pay.

    Args:
        start: (B, C, H, W).
        at: numbers of the steps after which sizes are looked at.
    """

    def __init__(self, start: Tensor, at: set[int]) -> None:
        super().__init__(start)
        self._before = start
        self._size = torch.full_like(self._top, _FIRST)
        self._last = torch.full_like(self._top, torch.inf)  # objective at the iterate before
        self._rises = torch.zeros_like(self._top)
        self._checked_top = self._top
        self._halved = torch.ones_like(self._top, dtype=torch.bool)
        self._at, self._done, self._checked = at, 0, 0

    def step(self, problem: Problem, estimate: Estimate) -> None:
        self._rises = self._rises + (estimate.value > self._last).to(estimate.value)
        self._last = estimate.value
        self._note(estimate)
        gradient = estimate.gradient
        if self._done in self._at:
            gradient = self._check(gradient)
        threat, x = problem.threat, problem.x
        ahead = threat.step(self.adv, gradient, x, _wide(self._size))
        share = _MOMENTUM if self._done else 1.0
        mixed = self.adv + share * (ahead - self.adv) + (1 - share) * (self.adv - self._before)
        self._before, self.adv = self.adv, threat.project(mixed, x)
        self._done += 1

    def _check(self, gradient: Tensor) -> Tensor:
        """Halve step sizes by conditions 1 and 2 of section 3.1, and go on from the best point there."""
        too_few = self._rises < _RISES * (self._done - self._checked)
        stuck = ~self._halved & (self._checked_top >= self._top)
        halve = too_few | stuck
        self._size = torch.where(halve, self._size / 2, self._size)
        self._halved, self._checked_top, self._checked = halve, self._top, self._done
        self._rises = torch.zeros_like(self._rises)
        return self._return(halve, gradient)


class _Sparse(_FromBest):
    """Steps along the pixels of the largest gradients, for balls where few pixels reach furthest.

    How many pixels follows what the best point has changed; a step size falls until that number does. There is no
    momentum (Croce and Hein, "Mind the box", arXiv 2103.01208; without their earlier runs in larger balls).

    Args:
        start: (B, C, H, W).
        every: steps after which numbers and sizes are looked at.
    """

    def __init__(self, start: Tensor, every: int) -> None:
        super().__init__(start)
        pixels = start[0].numel()
        self._size = torch.ones_like(self._top)
        self._changed = torch.full_like(self._top, pixels)
        self._along = self._changed * _DENSEST
        self._every, self._done = every, 0

    def step(self, problem: Problem, estimate: Estimate) -> None:
        self._note(estimate)
        gradient, threat, x = estimate.gradient, problem.threat, problem.x
        if self._done and self._done % self._every == 0:
            gradient = self._check(gradient, x)
        along = largest(gradient, self._along)
        length = _wide(self._size * threat.value / along.flatten(1).abs().sum(1).clamp_min(1))
        self.adv = threat.project(self.adv + length * along, x)
        self._done += 1

    def _check(self, gradient: Tensor, x: Tensor) -> Tensor:
        """Begin with large steps again from the best point where it has become sparser; shorten them elsewhere."""
        changed = (self._best != x).flatten(1).sum(1).to(self._changed)
        sparser = changed < _SPARSER * self._changed
        self._size = torch.where(sparser, 1.0, (self._size / _SHORTER).clamp_min(_SHORTEST))
        self._changed, self._along = changed, changed / _DENSER
        return self._return(sparser, gradient)


def largest(gradient: Tensor, along: Tensor) -> Tensor:
    """Signs (B, C, H, W) of so many (B,) of each image's largest entries, at least one; zeros elsewhere."""
    flat = gradient.flatten(1)
    place = flat.abs().argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return (flat.sign() * (place < along.clamp_min(1)[:, None])).view_as(gradient)


def _wide(per_image: Tensor) -> Tensor:
    return per_image.view(-1, 1, 1, 1)
