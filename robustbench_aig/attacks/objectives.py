"""What a gradient attack raises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from robustbench_aig.attacks.attack_problem import Pass, Problem, margin
from robustbench_aig.recipes import (
    ClassObjective,
    GateFlipObjective,
    JointObjective,
    OtherPathObjective,
    ZeroOneObjective,
)
from robustbench_aig.recipes import Objective as ObjectiveRecipe


class Objective(ABC):
    """A number per image that an attack raises.

    Attributes:
        needs_clean: whether it is relative to the clean image, whose pass is then in the problem.
        clean_draws: passes over that image whose open probabilities it takes the mean of, where gates are random.
        moves: whether it is about gates alone: the best iterate is that which moves them most, whatever the class.
        classes: how many logits it needs at least.
    """

    needs_clean: ClassVar[bool] = False
    clean_draws: ClassVar[int] = 1
    moves: ClassVar[bool] = False
    classes: ClassVar[int] = 2

    @abstractmethod
    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """(B,) for one forward pass; differentiable.

        Args:
            found: the pass over the current iterate.
            problem: the images.
            progress: share of the attack's steps that are done.
        """

    def combine(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Values (K, B) of K draws to that of the mixture, (B,), and its derivatives (K, B) by each: their mean."""
        return values.mean(0), torch.full_like(values, 1 / len(values))

    def expect(self, values: Tensor, log_probability: Tensor) -> Tensor:
        """Values (K, B) of all patterns of the gates and their log probabilities to that of the network: the mean."""
        return (log_probability.exp() * values).sum(0)


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """Cross-entropy; over draws that of the mean probability, which is what a randomised classifier answers with."""

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """-log p of the label."""
        return F.cross_entropy(found.logits, problem.y, reduction="none")

    def combine(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """-log mean p: draws that are right already weigh more, unlike in the mean of the logarithms."""
        count = torch.tensor(float(len(values)))
        return count.log() - (-values).logsumexp(0), (-values).softmax(0)

    def expect(self, values: Tensor, log_probability: Tensor) -> Tensor:
        """Minus the logarithm of the label's expected probability."""
        return -(log_probability - values).logsumexp(0)


@dataclass(frozen=True)
class Margin(Objective):
    """Highest other logit minus that of the label (Carlini and Wagner, arXiv 1608.04644): it never saturates."""

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """Minus the margin."""
        return -margin(found.logits, problem.y)


@dataclass(frozen=True)
class ZeroOne(CrossEntropy):
    """The share of wrong answers, a logistic function of the margin standing for the step that has no slope.

    The steeper it is, the less it gains from draws or patterns that are wrong already, or that stay right anyway.
    """

    recipe: ZeroOneObjective

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """-log of how nearly the answer is right."""
        return F.softplus(-self.recipe.steepness * margin(found.logits, problem.y))


@dataclass(frozen=True)
class Dlr(Objective):
    """Difference of logits ratio: the margin, whatever the logits' scale (Croce and Hein, arXiv 2003.01690, eq. 6)."""

    classes: ClassVar[int] = 3

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """Minus the margin over the distance from the first to the third logit."""
        ordered = found.logits.sort(1).values
        return _over(-margin(found.logits, problem.y), ordered[:, -1] - ordered[:, -3])


@dataclass(frozen=True)
class TargetedDlr(Objective):
    """The same towards one wrong class (Croce and Hein, arXiv 2003.01690, eq. 7).

    Restart number r aims at the class that is r-th likeliest of the wrong ones on the clean image, so that as many
    restarts as there are wrong classes try each.
    """

    needs_clean: ClassVar[bool] = True
    classes: ClassVar[int] = 4

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """Target's logit minus the label's, over the first minus the mean of the third and the fourth."""
        label, target = problem.y[:, None], targets(problem)[:, None]
        difference = (found.logits.gather(1, target) - found.logits.gather(1, label))[:, 0]
        ordered = found.logits.sort(1).values
        return _over(difference, ordered[:, -1] - (ordered[:, -3] + ordered[:, -4]) / 2)


def _over(difference: Tensor, spread: Tensor) -> Tensor:
    """The ratio (B,) of two differences of logits, whatever their scale; 0 where those of the second are equal."""
    return difference / torch.where(spread > 0, spread, torch.inf)


def targets(problem: Problem) -> Tensor:
    """(B,) the wrong class that this restart aims at."""
    assert problem.clean is not None
    wrong = problem.clean.logits.scatter(1, problem.y[:, None], -torch.inf)
    return wrong.argsort(1, descending=True)[:, problem.restart % (wrong.shape[1] - 1)]


@dataclass(frozen=True)
class GateFlip(Objective):
    """How far gates move: the mean over gates of |p' - p|, open probabilities of the attacked and the clean image.

    p is the mean over draws where gates are random, each along its own path. p' is that of one pass; a mode's mean over
    draws is then of the mean p', since the way that a gate is to go is chosen beforehand: over to its other side, where
    it has most room, and from half of the steps on away from p if it hasn't got nearer to that side. Where p' rounds to
    0 or 1 it has no slope; `_SLOPE` times the logit has one everywhere.

    With `safety` it is minus the sum of max(0, safety + s·D) instead, D being the difference of a gate's logits and
    s = ±1 its side on the clean image: gates that are over by so much count no more. Router-only attacks on networks of
    experts raise such a sum (arXiv 2602.01369).
    """

    recipe: GateFlipObjective
    needs_clean: ClassVar[bool] = True
    clean_draws: ClassVar[int] = 10
    moves: ClassVar[bool] = True

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """The mean over gates; with `safety` the sum, 0 where all gates are over."""
        each = self.of_each(found, problem, progress)
        return each.mean(1) if self.recipe.safety is None else each.sum(1)

    def of_each(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """(B, G)."""
        assert problem.clean is not None
        p, difference = problem.clean.probabilities, found.differences
        if difference is None:
            difference = found.probabilities.logit(1e-6)
        over = torch.where(p > 0.5, -1.0, 1.0)
        if self.recipe.safety is not None:
            return -(self.recipe.safety - over * difference).clamp_min(0)
        change = found.probabilities - p
        way = over if progress < _TURN else torch.where(over * change.detach() > 0, over, -over)
        return way * (change + _SLOPE * difference)


_SLOPE = 1e-3
"""Of a gate that saturates, in units of its logit: little beside that of one that doesn't."""

_TURN = 0.5
"""Share of the steps after which a gate that went nowhere is tried the other way."""


def moved(problem: Problem, probabilities: Tensor) -> Tensor:
    """(B,) mean over gates of how far open probabilities (B, G) are from those of the clean image."""
    assert problem.clean is not None
    return (probabilities - problem.clean.probabilities).abs().mean(1)


@dataclass(frozen=True)
class Joint(Objective):
    """Cross-entropy and `GateFlip` together: the class is moved and so is the path.

    An attack on the accuracy, of which gates are the means: the best iterate is that of the lowest margin. `weight` is
    that of the sum over gates; flipping gates alone at the beginning is J-TLGA's (arXiv 2602.01369).
    """

    recipe: JointObjective
    needs_clean: ClassVar[bool] = True
    clean_draws: ClassVar[int] = GateFlip.clean_draws

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """Cross-entropy + weight · flips."""
        flips = GateFlip(GateFlipObjective(safety=self.recipe.safety)).of_each(found, problem, progress).sum(1)
        if progress < self.recipe.warm:
            return flips
        return CrossEntropy()(found, problem, progress) + self.recipe.weight * flips


@dataclass(frozen=True)
class OtherPath(Objective):
    """The path of another class: cross-entropy minus weight · squared distance to that class's mean open probabilities.

    The class is that of `TargetedDlr`.
    """

    recipe: OtherPathObjective
    needs_clean: ClassVar[bool] = True

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """Cross-entropy - weight · distance."""
        routes = problem.view.routes
        assert routes is not None
        away = (found.probabilities - routes[targets(problem)]).square().sum(1)
        return CrossEntropy()(found, problem, progress) - self.recipe.weight * away


_OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "cross-entropy": CrossEntropy,
    "margin": Margin,
    "dlr": Dlr,
    "targeted-dlr": TargetedDlr,
    "zero-one": ZeroOne,
    "gate-flip": GateFlip,
    "joint": Joint,
    "other-path": OtherPath,
}


def build_objective(recipe: ObjectiveRecipe) -> Objective:
    """The objective that an `[attack.objective]` section configures."""
    build = _OBJECTIVES[recipe.name]
    return build() if isinstance(recipe, ClassObjective) else build(recipe)
