"""What a gradient mode is, and what it says of an iterate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor

from robustbench_aig.attacks.attack_problem import Problem, deployed_margin
from robustbench_aig.attacks.objectives import Objective
from robustbench_aig.gating import Policy
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import GateMode

ENOUGH = 5
"""So many draws of its own tell an attack whether an iterate of a randomised network is better than another."""

_DRAWS = 10
"""Passes that choose between the results of restarts where the deployed policy is random."""


class Estimate(NamedTuple):
    """What a mode says of an iterate.

    Attributes:
        gradient: (B, C, H, W) of the objective.
        value: (B,) of the objective.
        margin: (B,) mean margin over the passes that were made; where every pattern of the gates was gone through, by
            how much likelier a right answer is than a wrong one.
    """

    gradient: Tensor
    value: Tensor
    margin: Tensor

    def of(self, index: Tensor) -> Estimate:
        """That of some of the images."""
        return Estimate(self.gradient[index], self.value[index], self.margin[index])


class Mode(ABC):
    """How the gradient is had.

    Attributes:
        recipe: its settings; None where it has none.
        needs_clean: whether the problem must hold the pass over the clean image.
        of_gates: whether it is the plain gradient on a network without gates.
    """

    needs_clean: ClassVar[bool] = False
    of_gates: ClassVar[bool] = True
    recipe: GateMode | None = None

    @property
    def draws(self) -> int:
        """Passes per step where what it looks at is random, or pairs of them."""
        return getattr(self.recipe, "draws", 1)

    @abstractmethod
    def __call__(
        self, problem: Problem, objective: Objective, adv: Tensor, stream: Stream, progress: float
    ) -> Estimate:
        """Estimate at images (B, C, H, W).

        Args:
            problem: the images under attack.
            objective: what is to rise.
            adv: the current iterate.
            stream: (B,) of this step.
            progress: share of the steps that are done.
        """

    def judges(self, deployed: Policy) -> bool:
        """Whether the margin of an estimate is that of the deployed network."""
        return False

    def deployed_margin(self, problem: Problem, adv: Tensor) -> Tensor:
        """(B,) margin of the deployed network at an iterate (B, C, H, W) that nothing was estimated at."""
        return deployed_margin(problem, adv, _DRAWS)
