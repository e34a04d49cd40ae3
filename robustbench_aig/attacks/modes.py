"""Gradient modes: how the gradient of an objective gets past gates that are hard, random, or both.

An attack may look at another network than the deployed one: with soft gates, with all of them open, with the noise held
fixed. Which look helps is not known beforehand (that of Dhillon et al.'s pruning took an erratum to find, arXiv
2010.00071), so every mode combines with every attack and every objective, and a verdict rests on their union.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from robustbench_aig.attacks import surrogates
from robustbench_aig.attacks.objectives import Objective
from robustbench_aig.attacks.problem import START, Pass, Problem, margin
from robustbench_aig.gating import Execution, Expected, Frozen, Open, Policy, Sampled
from robustbench_aig.randomness import Stream

ENOUGH = 5
"""So many draws of its own tell an attack whether an iterate of a randomised network is better than another."""


class Estimate(NamedTuple):
    """What a mode says of an iterate.

    Attributes:
        gradient: (B, C, H, W) of the objective.
        value: (B,) of the objective.
        margin: (B,) mean margin over the passes that were made.
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
        needs_clean: whether the problem must hold the pass over the unattacked image.
        of_gates: whether it is the plain gradient on a network without gates.
    """

    needs_clean: ClassVar[bool] = False
    of_gates: ClassVar[bool] = True

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


@dataclass(frozen=True)
class Surrogate(Mode):
    """Backpropagation through the network under a policy of the mode's own.

    Attributes:
        draws: passes per step where that policy is random (expectation over transformation, Athalye et al., arXiv
            1707.07397).
    """

    draws: int = 1
    faithful: ClassVar[bool] = True
    execution: ClassVar[Execution] = "dense"

    @abstractmethod
    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """How the gates decide, forward and backward."""

    def judges(self, deployed: Policy) -> bool:
        """Where the forward pass is the deployed one, and there are draws enough if it is random."""
        return self.faithful and (not deployed.random or self.draws >= ENOUGH)

    def __call__(
        self, problem: Problem, objective: Objective, adv: Tensor, stream: Stream, progress: float
    ) -> Estimate:
        """One pass, or the mixture of `draws`: each goes backward by itself, so that memory doesn't grow with them."""
        passes = []
        count = self.draws if self.policy(problem, stream).random else 1
        for draw in range(count):
            leaf = adv.detach().requires_grad_()
            found = problem.look(leaf, self.policy(problem, stream.child(draw)), self.execution)
            value = objective(found, problem, progress)
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
            passes.append(Estimate(gradient, value.detach(), margin(found.logits.detach(), problem.y)))
        if count == 1:
            return passes[0]
        value, weights = objective.combine(torch.stack([each.value for each in passes]))
        gradient = torch.stack([each.gradient for each in passes]).mul(weights[:, :, None, None, None]).sum(0)
        return Estimate(gradient, value, torch.stack([each.margin for each in passes]).mean(0))


@dataclass(frozen=True)
class StraightThrough(Surrogate):
    """The network as it is deployed, gradients as it was trained: the stock attack, and with draws stock EOT."""

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """The deployed one, with fresh noise at every step."""
        return problem.view.policy.drawn(stream)


@dataclass(frozen=True)
class Detached(Surrogate):
    """Gates decide as deployed, and the gradient takes their decisions for constants."""

    execution: ClassVar[Execution] = "sparse"

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """The deployed one without its gradient."""
        return surrogates.Detached(problem.view.policy.drawn(stream))


@dataclass(frozen=True)
class FrozenNoise(Surrogate):
    """One draw of the noise for the whole attack: what is left is discontinuity (Carlini et al., arXiv 1902.06705)."""

    def judges(self, deployed: Policy) -> bool:
        """Where there is no noise."""
        return not deployed.random

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """The deployed one; the noise is the problem's and not the step's."""
        return surrogates.Steady(problem.view.policy.drawn(problem.stream.child(START)))


@dataclass(frozen=True)
class FrozenClean(Surrogate):
    """The decisions of the unattacked image, held: the target doesn't move while it is attacked."""

    needs_clean: ClassVar[bool] = True
    faithful: ClassVar[bool] = False
    execution: ClassVar[Execution] = "sparse"

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """Its decisions as constants."""
        assert problem.clean is not None
        return Frozen(problem.clean.decisions)


@dataclass(frozen=True)
class AllOpen(Surrogate):
    """Every block runs: an attack on the whole network, transferred to the gated one."""

    faithful: ClassVar[bool] = False

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """Open."""
        return Open()


@dataclass(frozen=True)
class SoftExpected(Surrogate):
    """Every block runs at its open probability: the mean field of the random network, smooth throughout."""

    faithful: ClassVar[bool] = False

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """Expected."""
        return Expected()


@dataclass(frozen=True)
class Bpda(Surrogate):
    """Decisions forward as deployed, backward those of sigmoid(D / temperature) (Athalye et al., arXiv 1802.00420).

    Unlike straight-through estimation the backward pass doesn't see the noise, and a temperature above 1 lets gates
    that are far from their threshold pass a gradient.

    Attributes:
        temperature: of the sigmoid.
    """

    temperature: float = 1.0

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """The deployed one with another gradient."""
        return surrogates.SmoothBackward(problem.view.policy.drawn(stream), self.temperature)


@dataclass(frozen=True)
class Leaded(Surrogate):
    """The leaded gradient (Tao et al., arXiv 2210.08159): gates as sigmoid(slope · score), so that they move at once.

    The score is D, with the noise of a draw where gates are sampled.

    Attributes:
        slope: λ; published 10.
        hard: decisions forward stay hard, the second form of the paper; the first is soft both ways.
    """

    slope: float = 10.0
    hard: bool = False

    def judges(self, deployed: Policy) -> bool:
        """In the hard form."""
        return self.hard and super().judges(deployed)

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """Steep sigmoids."""
        noise = stream if isinstance(problem.view.policy, Sampled) else None
        return surrogates.Steep(self.slope, hard=self.hard, stream=noise)


@dataclass(frozen=True)
class SmoothedLogits(Surrogate):
    """Gaussian noise on the gates' logits, which makes a mean over draws of a step function smooth.

    Attributes:
        sigma: standard deviation, in units of D.
    """

    draws: int = 10
    sigma: float = 1.0
    faithful: ClassVar[bool] = False

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """The deployed one behind the noise."""
        return surrogates.Jittered(problem.view.policy.drawn(stream.child(0)), self.sigma, stream.child(1))


@dataclass(frozen=True)
class ScoreFunction(Mode):
    """The unbiased gradient of the expected objective over sampled gates (Williams 1992, REINFORCE).

    The objective's own gradient at constant decisions, plus (objective - baseline) · gradient of the path's log
    probability; the baseline of a draw is the mean of the others (Kool et al. 2019). Straight-through estimation has
    another limit, however many its draws.

    Attributes:
        draws: passes per step, at least 2.
    """

    draws: int = 20

    def judges(self, deployed: Policy) -> bool:
        """Where gates are sampled when deployed, too."""
        return isinstance(deployed, Sampled) and self.draws >= ENOUGH

    def __call__(
        self, problem: Problem, objective: Objective, adv: Tensor, stream: Stream, progress: float
    ) -> Estimate:
        """Mean over the draws."""
        through, path, values, margins = [], [], [], []
        for draw in range(self.draws):
            leaf = adv.detach().requires_grad_()
            policy = problem.view.policy if problem.view.policy.random else Sampled()
            found = problem.look(leaf, surrogates.Detached(policy.drawn(stream.child(draw))), "sparse")
            value = objective(found, problem, progress)
            attached = _log_probability(found)
            # The objective's gradient first, then the path's over the same graph.
            (direct,) = torch.autograd.grad(value.sum(), leaf, retain_graph=attached.requires_grad)
            through.append(direct)
            path.append(_gradient_or_zero(attached, leaf))
            values.append(value.detach())
            margins.append(margin(found.logits.detach(), problem.y))
        value = torch.stack(values)
        excess = (value - value.mean(0)) * (self.draws / (self.draws - 1))  # value - mean of the others
        gradient = torch.stack(
            [d + e.view(-1, 1, 1, 1) * p for d, e, p in zip(through, excess, path, strict=True)]
        ).mean(0)
        return Estimate(gradient, value.mean(0), torch.stack(margins).mean(0))


def _log_probability(found: Pass) -> Tensor:
    """(B,) of the decisions that were drawn; a gate that is forced open adds nothing."""
    p, z = found.probabilities, found.decisions.detach()
    chosen = torch.where(z > 0.5, p, 1 - p).clamp_min(1e-12)
    return chosen.log().sum(1)


def _gradient_or_zero(value: Tensor, leaf: Tensor) -> Tensor:
    """(B, C, H, W); zero where the value doesn't depend on the images, as the path of a network without gates."""
    if not value.requires_grad:
        return torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(value.sum(), leaf, materialize_grads=True)
    return gradient


@dataclass(frozen=True)
class Evolution(Mode):
    """Antithetic finite differences in random directions: needs no gradient at all.

    The gradient of the objective smoothed by a Gaussian (Salimans et al., arXiv 1703.03864); what brought down
    k-winners-take-all (Tramèr et al., arXiv 2002.08347). Both points of a pair see the same noise of the gates.

    Attributes:
        draws: pairs per step.
        sigma: standard deviation of a step, as a share of epsilon in the Linf ball and of epsilon / sqrt(pixels) in L2.
    """

    draws: int = 50
    sigma: float = 1.0
    of_gates: ClassVar[bool] = False

    def judges(self, deployed: Policy) -> bool:
        """Never: its passes are beside the iterate."""
        return False

    @torch.no_grad()
    def __call__(
        self, problem: Problem, objective: Objective, adv: Tensor, stream: Stream, progress: float
    ) -> Estimate:
        """Mean over the pairs of (difference of the objective) · direction / (2 sigma)."""
        pixels = adv[0].numel()
        sigma = self.sigma * problem.threat.value / (pixels**0.5 if problem.threat.norm == "l2" else 1)
        gradient, value, margins = torch.zeros_like(adv), adv.new_zeros(len(adv)), adv.new_zeros(len(adv))
        for draw in range(self.draws):
            own = stream.child(draw)
            direction = (2 * own.child(0).uniform(*adv.shape[1:]) - 1).erfinv() * 2**0.5
            above, below = (
                problem.look(point, problem.view.policy.drawn(own.child(1)), "sparse")
                for point in (adv + sigma * direction, adv - sigma * direction)
            )
            up, down = (objective(side, problem, progress) for side in (above, below))
            gradient += ((up - down) / (2 * sigma * self.draws)).view(-1, 1, 1, 1) * direction
            value = value + (up + down) / (2 * self.draws)
            margins = margins + (margin(above.logits, problem.y) + margin(below.logits, problem.y)) / (2 * self.draws)
        return Estimate(gradient, value, margins)
