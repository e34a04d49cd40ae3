"""Gradients through another network than the deployed one: soft gates, all of them open, the noise held fixed."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from robustbench_aig.attacks.attack_problem import START, Problem, margin
from robustbench_aig.attacks.gradient_modes import attacker_policies
from robustbench_aig.attacks.gradient_modes.gradient_mode import ENOUGH, Estimate, Mode
from robustbench_aig.attacks.objectives import Objective
from robustbench_aig.gating import Execution, Expected, Frozen, Open, Policy, Sampled
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import BpdaMode, DeployedMode, GateMode, LeadedMode, OtherMode, SmoothedMode

R = TypeVar("R", bound=GateMode)


@dataclass(frozen=True)
class Surrogate(Mode, Generic[R]):
    """Backpropagation through the network under a policy of the mode's own.

    Where that policy is random, over `draws` passes (expectation over transformation, Athalye et al., arXiv
    1707.07397).
    """

    recipe: R
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


class StraightThrough(Surrogate[DeployedMode]):
    """The network as it is deployed, gradients as it was trained: the stock attack, and with draws stock EOT."""

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """The deployed one, with fresh noise at every step."""
        return problem.view.policy.drawn(stream)


class Detached(Surrogate[DeployedMode]):
    """Gates decide as deployed, and the gradient takes their decisions for constants."""

    execution: ClassVar[Execution] = "sparse"

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """The deployed one without its gradient."""
        return attacker_policies.Detached(problem.view.policy.drawn(stream))


class FrozenNoise(Surrogate[DeployedMode]):
    """One draw of the noise for the whole attack: what is left is discontinuity (Carlini et al., arXiv 1902.06705)."""

    def judges(self, deployed: Policy) -> bool:
        """Where there is no noise."""
        return not deployed.random

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """The deployed one; the noise is the problem's and not the step's."""
        return attacker_policies.Steady(problem.view.policy.drawn(problem.stream.child(START)))


class FrozenClean(Surrogate[OtherMode]):
    """The decisions of the clean image, held: the target doesn't move while it is attacked."""

    needs_clean: ClassVar[bool] = True
    faithful: ClassVar[bool] = False
    execution: ClassVar[Execution] = "sparse"

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """Its decisions as constants."""
        assert problem.clean is not None
        return Frozen(problem.clean.decisions)


class AllOpen(Surrogate[OtherMode]):
    """Every block runs: an attack on the whole network, transferred to the gated one."""

    faithful: ClassVar[bool] = False

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """Open."""
        return Open()


class SoftExpected(Surrogate[OtherMode]):
    """Every block runs at its open probability: the mean field of the random network, smooth throughout."""

    faithful: ClassVar[bool] = False

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """Expected."""
        return Expected()


class Bpda(Surrogate[BpdaMode]):
    """Decisions forward as deployed, backward those of sigmoid(D / temperature) (Athalye et al., arXiv 1802.00420).

    Unlike straight-through estimation the backward pass doesn't see the noise, and a temperature above 1 lets gates
    that are far from their threshold pass a gradient.
    """

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """The deployed one with another gradient."""
        return attacker_policies.SmoothBackward(problem.view.policy.drawn(stream), self.recipe.temperature)


class Leaded(Surrogate[LeadedMode]):
    """The leaded gradient (Tao et al., arXiv 2210.08159): gates as sigmoid(slope · score), so that they move at once.

    The score is D, with the noise of a draw where gates are sampled. Decisions forward that stay hard are the second
    form of the paper; the first is soft both ways.
    """

    def judges(self, deployed: Policy) -> bool:
        """In the hard form."""
        return self.recipe.hard and super().judges(deployed)

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """Steep sigmoids."""
        noise = stream if isinstance(problem.view.policy.of_gates, Sampled) else None
        return attacker_policies.Steep(self.recipe.slope, hard=self.recipe.hard, stream=noise)


class SmoothedLogits(Surrogate[SmoothedMode]):
    """Gaussian noise on the gates' logits, which makes a mean over draws of a step function smooth."""

    faithful: ClassVar[bool] = False

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """The deployed one behind the noise."""
        return attacker_policies.Jittered(
            problem.view.policy.drawn(stream.child(0)), self.recipe.sigma, stream.child(1)
        )
