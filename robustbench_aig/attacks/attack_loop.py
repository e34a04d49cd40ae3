"""The loop of every gradient attack, on accuracy, on compute and inside training: estimate, select, step; restarts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from robustbench_aig.attacks.attack_problem import STEPS, Problem
from robustbench_aig.attacks.gradient_modes import Estimate, Mode
from robustbench_aig.attacks.objectives import Objective

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


class Selection(ABC):
    """Which iterates are returned, and which images need no more of them.

    Attributes:
        images: (B, C, H, W), what is to be returned now.
    """

    images: Tensor

    def start(self, restart: int) -> Tensor | None:  # noqa: B027 - most begin with all of them
        """Begin a restart; positions (b,) of the images that it is for, None for all."""

    @abstractmethod
    def see(self, problem: Problem, adv: Tensor, margins: Tensor) -> Tensor | None:
        """Note an iterate that a step is about to leave.

        Args:
            problem: the images that are still attacked.
            adv: (b, C, H, W), where the attack is.
            margins: (b,), those that the attack's own pass had there.

        Returns:
            Which of them (b',) to go on with; None for all.
        """

    @abstractmethod
    def finish(self, problem: Problem, adv: Tensor) -> None:
        """Note the last iterate (b, C, H, W) of a restart, on the images that are still attacked."""


Watch = Callable[[Tensor, Estimate], None]
"""Told of every iterate (b, C, H, W) and what was estimated there."""


def climb(
    problem: Problem,
    begin: Callable[[Problem], Ascent],
    mode: Mode,
    objective: Objective,
    selection: Selection,
    *,
    steps: int,
    restarts: int = 1,
    in_parts: bool = True,
    watch: Watch | None = None,
) -> Tensor:
    """Attacked images (B, C, H, W).

    Args:
        problem: the images.
        begin: a method at its starting point, for the images of a restart.
        mode: how gradients are had.
        objective: what is raised.
        selection: which iterate to return, and which images to leave alone.
        steps: number of gradient steps.
        restarts: runs from different starting points.
        in_parts: whether some images go through at a time where a CPU is faster so; it rounds differently.
        watch: looks on.
    """
    if (objective.needs_clean or mode.needs_clean) and problem.clean is None:
        problem = problem.with_clean(objective.clean_draws)

    def estimate(left: Problem, adv: Tensor, number: int) -> Estimate:
        stream = left.stream.child(STEPS).child(number)
        several = parts(len(adv), left.view.model, adv.device) if in_parts else [slice(None)]
        found = [mode(left[part], objective, adv[part], stream[part], number / steps) for part in several]
        whole = found[0] if len(found) == 1 else Estimate(*map(torch.cat, zip(*found, strict=True)))
        if watch is not None:
            watch(adv, whole)
        return whole

    for restart in range(restarts):
        left, places = problem.again(restart), selection.start(restart)
        if places is not None:
            if not len(places):
                break
            left = left[places]
        _run(left, begin(left), estimate, selection, steps)
    return selection.images


def _run(
    problem: Problem,
    ascent: Ascent,
    estimate: Callable[[Problem, Tensor, int], Estimate],
    selection: Selection,
    steps: int,
) -> None:
    """One restart."""
    for number in range(steps):
        found = estimate(problem, ascent.adv, number)
        left = selection.see(problem, ascent.adv, found.margin)
        if left is not None:
            if not len(left):
                return
            problem, found = problem[left], found.of(left)
            ascent.take(left)
        ascent.step(problem, found)
    selection.finish(problem, ascent.result)
