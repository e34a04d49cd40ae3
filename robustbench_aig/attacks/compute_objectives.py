"""What an attack on the executed compute raises, in terms of gates' open probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robustbench_aig.attacks.attack_problem import Pass, Problem
from robustbench_aig.attacks.gradient_modes import Estimate, Mode
from robustbench_aig.attacks.objectives import Objective
from robustbench_aig.gating import Policy
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes.compute_recipes import ComputeRecipe, Direction, PowerObjective


@dataclass(frozen=True)
class ComputeObjective(Objective):
    """A number that rises with the compute, or as it falls.

    Attributes:
        direction: where the compute is wanted.
    """

    direction: Direction

    def wanted(self, found: Pass) -> Tensor:
        """(B, G) how likely each gate is where it is wanted: open, or closed."""
        return found.probabilities if self.direction == "up" else 1 - found.probabilities


@dataclass(frozen=True)
class ExpectedCompute(ComputeObjective):
    """The expected share of the gated multiply-accumulates that are executed, or spared."""

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """Σ F p / Σ F; where the costs F aren't known every block costs the same."""
        wanted, costs = self.wanted(found), problem.view.costs
        if costs is None:
            return wanted.mean(1)
        return wanted @ (costs / costs.sum()).to(wanted)


@dataclass(frozen=True)
class Hinge(ComputeObjective):
    """-Σ max(0, 1/2 - p): gates that are where they are wanted count no more (ILFO, Haque et al., CVPR 2020)."""

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """0 where all are."""
        return -(0.5 - self.wanted(found)).clamp_min(0).sum(1)


@dataclass(frozen=True)
class Power(ComputeObjective):
    """‖min(p, 1/2)‖ in a high norm: gates that are nearly where they are wanted come first.

    GradMDM (Pan et al., TPAMI 2023). The authors' released code has a second term, for the gates that are there
    already, which its step leaves out; so does this.

    Published are a norm of 3.5, and 10 of 100 steps at the beginning in the 1-norm.
    """

    recipe: PowerObjective

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """Through logarithms, since small probabilities to such powers underflow."""
        logs = self.wanted(found).clamp(1e-30, 0.5).log()
        norm = 1.0 if progress < self.recipe.warm else self.recipe.norm
        return ((norm * logs).logsumexp(1) / norm).exp()


@dataclass(frozen=True)
class Held(ComputeObjective):
    """Σ max(0, p - 1/2): how firmly gates are where they are wanted and already are."""

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """0 where none are."""
        return (self.wanted(found) - 0.5).clamp_min(0).sum(1)


@dataclass(frozen=True)
class Anchored(Objective):
    """Another objective minus weight · Σ (logits - logits of the clean image)².

    Attributes:
        objective: what else is raised.
        weight: of the distance.
    """

    objective: Objective
    weight: float
    needs_clean: ClassVar[bool] = True

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """Both."""
        assert problem.clean is not None
        away = (found.logits - problem.clean.logits).square().sum(1)
        return self.objective(found, problem, progress) - self.weight * away


@dataclass(frozen=True)
class Projected(Mode):
    """The gradient of another mode without what opposes a second objective (GradAuto, Pan et al., ECCV 2022).

    If the gradient g has a negative product with the unit gradient u of what is to be held, g - ⟨g, u⟩ u is left of
    it. In the Linf ball the step is the sign of that, which may oppose u again. Takes two passes for each of the mode.

    Attributes:
        mode: how both gradients are had.
        held: what must not fall.
    """

    mode: Mode
    held: Objective
    needs_clean: ClassVar[bool] = True

    def judges(self, deployed: Policy) -> bool:
        """As the mode."""
        return self.mode.judges(deployed)

    def __call__(
        self, problem: Problem, objective: Objective, adv: Tensor, stream: Stream, progress: float
    ) -> Estimate:
        """The objective's estimate with the gradient projected; both see the same noise."""
        estimate = self.mode(problem, objective, adv, stream, progress)
        held = self.mode(problem, self.held, adv, stream, progress).gradient.flatten(1)
        gradient = estimate.gradient.flatten(1)
        unit = held / torch.linalg.vector_norm(held, dim=1, keepdim=True).clamp_min(1e-20)
        against = (gradient * unit).sum(1, keepdim=True).clamp_max(0)
        return estimate._replace(gradient=(gradient - against * unit).view_as(adv))


def build_compute_objective(recipe: ComputeRecipe) -> ComputeObjective:
    """The objective that an `[attack]` section on the compute configures."""
    match recipe.objective:
        case PowerObjective():
            return Power(recipe.direction, recipe.objective)
        case _:
            return (ExpectedCompute if recipe.objective.name == "expected" else Hinge)(recipe.direction)
