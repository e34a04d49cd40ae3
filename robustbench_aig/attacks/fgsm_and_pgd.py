"""Gradient attacks of our own: exact in the ball, their randomness tied to the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from torch import Tensor

from robustbench_aig.attacks.attack_interface import OwnAttack, View
from robustbench_aig.attacks.attack_loop import Ascent, Watch, climb
from robustbench_aig.attacks.attack_problem import Problem
from robustbench_aig.attacks.gradient_modes import Estimate, Mode, build_mode, suited
from robustbench_aig.attacks.iterate_selection import Kept
from robustbench_aig.attacks.objectives import Objective, build_objective
from robustbench_aig.errors import InputError
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import FgsmRecipe, GradientRecipe, PgdRecipe
from robustbench_aig.recipes.attack_recipes import Keep
from robustbench_aig.threat import Norm, Shape, Threat


def random_start(x: Tensor, threat: Threat, stream: Stream) -> Tensor:
    """A uniformly random point of the threat's ball around each image (B, C, H, W)."""
    radius = stream.child(1).uniform(1)[:, 0]
    return threat.random_start(x, stream.child(0).uniform(*x.shape[1:]), radius)


class FixedSteps(Ascent):
    """Projected steps of one size.

    Args:
        start: (B, C, H, W).
        size: as a share of epsilon.
    """

    def __init__(self, start: Tensor, size: float) -> None:
        self.adv, self._size = start, size

    def step(self, problem: Problem, estimate: Estimate) -> None:
        """Along the steepest direction."""
        self.adv = problem.threat.step(self.adv, estimate.gradient, problem.x, self._size)


@dataclass(frozen=True)
class GradientAttack(OwnAttack):
    """What all of ours have in common.

    Attributes:
        recipe: its settings.
        watch: looks on at every step.

    Raises:
        ValueError: the recipe names another provider.
    """

    recipe: GradientRecipe
    watch: Watch | None = field(default=None, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        """Nobody gets ours who asks for another's."""
        if isinstance(self.recipe, FgsmRecipe | PgdRecipe) and self.recipe.provider != self.provider:
            raise ValueError(f"build_attack makes {self.recipe.provider}'s {self.recipe.algorithm}, this is ours")

    @cached_property
    def mode(self) -> Mode:
        """How the gradient gets past the gates."""
        return build_mode(self.recipe.gates)

    @cached_property
    def objective(self) -> Objective:
        """What is raised."""
        return build_objective(self.recipe.objective)

    def changed(self, **settings: Any) -> Self:  # noqa: ANN401 - whatever keys the recipe has
        """The same attack with other settings."""
        return replace(self, recipe=self.recipe.changed(**settings))

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """Where the objective compares more logits than there are."""
        if classes < self.objective.classes:
            name = type(self.objective).__name__
            raise InputError(f"objective {name} needs {self.objective.classes} classes, the network has {classes}")

    def _climb(
        self,
        problem: Problem,
        begin: Callable[[Problem], Ascent],
        *,
        steps: int = 1,
        restarts: int = 1,
        keep: Keep = "last",
    ) -> Tensor:
        """The iterate (B, C, H, W) that `keep` says; a mode that is about gates needs some."""
        mode = suited(self.mode, problem.view)
        kept = Kept(problem, keep, mode, self.objective, several=restarts > 1)
        return climb(problem, begin, mode, self.objective, kept, steps=steps, restarts=restarts, watch=self.watch)


@dataclass(frozen=True)
class Fgsm(GradientAttack):
    """Fast gradient sign method: one step of full size (Goodfellow et al., arXiv 1412.6572)."""

    recipe: FgsmRecipe

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """`x` + eps · the steepest unit step, clipped."""
        problem = Problem(model, x, y, threat, stream)
        return self._climb(problem, lambda own: FixedSteps(own.x, 1.0))


@dataclass(frozen=True)
class Pgd(GradientAttack):
    """Projected gradient descent (Madry et al., arXiv 1706.06083, section 2.1)."""

    recipe: PgdRecipe

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The iterate that `keep` says."""
        recipe = self.recipe

        def begin(own: Problem) -> FixedSteps:
            start = random_start(own.x, threat, own.stream) if recipe.random_start else own.x
            return FixedSteps(start, recipe.step)

        problem = Problem(model, x, y, threat, stream)
        return self._climb(problem, begin, steps=recipe.steps, restarts=recipe.restarts, keep=recipe.keep)
