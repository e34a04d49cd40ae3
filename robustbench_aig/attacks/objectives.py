"""What a gradient attack raises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from robustbench_aig.attacks.problem import Pass, Problem, margin


class Objective(ABC):
    """A number per image that an attack raises.

    Attributes:
        needs_clean: whether it is relative to the unattacked image, whose pass is then in the problem.
        classes: how many logits it needs at least.
    """

    needs_clean: ClassVar[bool] = False
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

    Restart number r aims at the class that is r-th likeliest of the wrong ones on the unattacked image, so that as many
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
    """Every gate over to its other side: minus the sum of max(0, safety + s·D).

    D is the difference of a gate's logits and s = ±1 its side on the unattacked image. Router-only attacks on networks
    of experts raise such a sum (arXiv 2602.01369).

    Attributes:
        safety: logit difference beyond the threshold at which a gate counts as flipped for good.
    """

    safety: float = 1.0
    needs_clean: ClassVar[bool] = True

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """0 where all gates are flipped by the margin or more."""
        assert problem.clean is not None
        side = torch.where(problem.clean.probabilities > 0.5, 1.0, -1.0)
        return -(self.safety + side * difference(found.probabilities)).clamp_min(0).sum(1)


@dataclass(frozen=True)
class Joint(Objective):
    """Cross-entropy and `GateFlip` together: the class is moved and so is the path.

    Attributes:
        weight: of the gates.
        warm: share of the steps at the beginning that flip gates alone (after J-TLGA, arXiv 2602.01369).
        safety: as in `GateFlip`.
    """

    weight: float = 1.0
    warm: float = 0.0
    safety: float = 1.0
    needs_clean: ClassVar[bool] = True

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """Cross-entropy + weight · flips."""
        flips = GateFlip(self.safety)(found, problem, progress)
        return flips if progress < self.warm else CrossEntropy()(found, problem, progress) + self.weight * flips


@dataclass(frozen=True)
class OtherPath(Objective):
    """The path of another class: cross-entropy minus weight · squared distance to that class's mean open probabilities.

    The class is that of `TargetedDlr`.

    Attributes:
        weight: of the distance.
    """

    weight: float = 1.0
    needs_clean: ClassVar[bool] = True

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """Cross-entropy - weight · distance."""
        routes = problem.view.routes
        assert routes is not None
        away = (found.probabilities - routes[targets(problem)]).square().sum(1)
        return CrossEntropy()(found, problem, progress) - self.weight * away


def difference(probabilities: Tensor) -> Tensor:
    """The difference D (B, G) of gates' logits from their open probabilities; 0 for a gate that is forced open."""
    return torch.where(probabilities < 1, probabilities.logit(1e-6), 0.0)
