"""Gradients through another network than the deployed one: soft gates, all of them open, the noise held fixed."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robustbench_aig.attacks.gradient_modes import attacker_policies
from robustbench_aig.attacks.gradient_modes.base import ENOUGH, Estimate, Mode
from robustbench_aig.attacks.objectives import Objective
from robustbench_aig.attacks.problem import START, Problem, margin
from robustbench_aig.attacks.protocol import View
from robustbench_aig.gating import Execution, Expected, Frozen, Open, Policy, Sampled
from robustbench_aig.randomness import Stream


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


def suited(mode: Mode, view: View) -> Mode:
    """The mode; where it is about gates and a network has none, the plain gradient, over as many draws."""
    return mode if view.gated or not mode.of_gates else StraightThrough(getattr(mode, "draws", 1))


@dataclass(frozen=True)
class Detached(Surrogate):
    """Gates decide as deployed, and the gradient takes their decisions for constants."""

    execution: ClassVar[Execution] = "sparse"

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """The deployed one without its gradient."""
        return attacker_policies.Detached(problem.view.policy.drawn(stream))


@dataclass(frozen=True)
class FrozenNoise(Surrogate):
    """One draw of the noise for the whole attack: what is left is discontinuity (Carlini et al., arXiv 1902.06705)."""

    def judges(self, deployed: Policy) -> bool:
        """Where there is no noise."""
        return not deployed.random

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """The deployed one; the noise is the problem's and not the step's."""
        return attacker_policies.Steady(problem.view.policy.drawn(problem.stream.child(START)))


@dataclass(frozen=True)
class FrozenClean(Surrogate):
    """The decisions of the clean image, held: the target doesn't move while it is attacked."""

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
        return attacker_policies.SmoothBackward(problem.view.policy.drawn(stream), self.temperature)


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
        noise = stream if isinstance(problem.view.policy.of_gates, Sampled) else None
        return attacker_policies.Steep(self.slope, hard=self.hard, stream=noise)


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
        return attacker_policies.Jittered(problem.view.policy.drawn(stream.child(0)), self.sigma, stream.child(1))
