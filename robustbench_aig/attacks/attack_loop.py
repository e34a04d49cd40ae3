"""The loop of a gradient attack: estimate, keep, drop, step; over restarts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from robustbench_aig.attacks.gradient_modes import Estimate, Mode, StraightThrough
from robustbench_aig.attacks.iterate_selection import Keep, Kept, shortfall
from robustbench_aig.attacks.objectives import Objective
from robustbench_aig.attacks.problem import STEPS, Problem
from robustbench_aig.randomness import Stream

_AT_ONCE, _AT_ONCE_HALF = 43, 64
"""Images that a CPU takes through a network at once, in float32 and in bfloat16: more fall out of its caches."""


def parts(count: int, model: nn.Module, device: torch.device) -> list[slice]:
    """The parts, of nearly equal size, in which so many images go through a network: one, but on a CPU."""
    first = next(model.parameters(), None)
    most = _AT_ONCE_HALF if first is not None and first.dtype == torch.bfloat16 else _AT_ONCE
    number = max(1, -(-count // most)) if device.type == "cpu" else 1
    edges = [count * place // number for place in range(number + 1)]
    return [slice(start, end) for start, end in pairwise(edges)]


class Ascent(ABC):
    """How one gradient method moves.

    Attributes:
        adv: (B, C, H, W), where it is.
    """

    adv: Tensor

    @property
    def result(self) -> Tensor:
        """(B, C, H, W), where it would end now."""
        return self.adv

    @abstractmethod
    def step(self, problem: Problem, estimate: Estimate) -> None:
        """Move to the next iterate, given the estimate at this one."""

    def take(self, index: Tensor) -> None:
        """Go on with some of the images; whatever there is one of per image follows."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[index])


def climb(
    problem: Problem,
    begin: Callable[[Problem], Ascent],
    mode: Mode,
    objective: Objective,
    *,
    steps: int,
    restarts: int,
    keep: Keep,
) -> Tensor:
    """Attacked images (B, C, H, W).

    Args:
        problem: the images.
        begin: a method at its starting point, for the images of a restart.
        mode: how gradients are had; where there are no gates, one that is about them is the plain gradient,
            over as many draws.
        objective: what is raised.
        steps: number of gradient steps.
        restarts: runs from different starting points, of which the best result counts.
        keep: which iterate to return.
    """
    if mode.of_gates and not problem.view.gated:
        mode = StraightThrough(getattr(mode, "draws", 1))
    if objective.needs_clean or mode.needs_clean:
        problem = problem.with_clean(objective.clean_draws)
    judge = shortfall if objective.moves else mode.deployed_margin
    kept = Kept(problem, keep, judge, judged=mode.judges(problem.view.policy), moves=objective.moves)
    for restart in range(restarts):
        left = problem.again(restart)
        if restart and kept.how == "first":
            places = kept.open()
            if not len(places):
                break
            kept.start(places)
            left = left[places]
        elif restart:
            kept.start(torch.arange(len(problem.x), device=problem.x.device))
        _run(left, begin(left), kept, mode, objective, steps, compare=restarts > 1)
    return kept.images


def _in_parts(
    mode: Mode, problem: Problem, objective: Objective, adv: Tensor, stream: Stream, progress: float
) -> Estimate:
    """The estimate of a mode, some images at a time; those that are left when others are dropped share their passes."""
    several = parts(len(adv), problem.view.model, adv.device)
    found = [mode(problem[part], objective, adv[part], stream[part], progress) for part in several]
    return found[0] if len(found) == 1 else Estimate(*map(torch.cat, zip(*found, strict=True)))


def _run(
    problem: Problem, ascent: Ascent, kept: Kept, mode: Mode, objective: Objective, steps: int, *, compare: bool
) -> None:
    """One restart."""
    for number in range(steps):
        stream = problem.stream.child(STEPS).child(number)
        estimate = _in_parts(mode, problem, objective, ascent.adv, stream, number / steps)
        left = kept.see(problem, ascent.adv, estimate.margin)
        if left is not None:
            if not len(left):
                return
            problem, estimate = problem[left], estimate.of(left)
            ascent.take(left)
        ascent.step(problem, estimate)
    kept.finish(problem, ascent.result, compare=compare or kept.how != "last")
