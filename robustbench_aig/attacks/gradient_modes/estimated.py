"""Gradients that are estimated: from the decisions that were drawn, and from differences of the objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robustbench_aig.attacks.attack_problem import Pass, Problem, margin
from robustbench_aig.attacks.gradient_modes import attacker_policies
from robustbench_aig.attacks.gradient_modes.gradient_mode import ENOUGH, Estimate, Mode
from robustbench_aig.attacks.objectives import Objective
from robustbench_aig.gating import Policy, Sampled
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import EvolutionMode, ScoreFunctionMode


@dataclass(frozen=True)
class ScoreFunction(Mode):
    """The unbiased gradient of the expected objective over sampled gates (Williams 1992, REINFORCE).

    The objective's own gradient at constant decisions, plus (objective - baseline) · gradient of the path's log
    probability; the baseline of a draw is the mean of the others (Kool et al. 2019). Straight-through estimation has
    another limit, however many its draws.
    """

    recipe: ScoreFunctionMode

    def judges(self, deployed: Policy) -> bool:
        """Where gates are sampled when deployed, too."""
        return isinstance(deployed.of_gates, Sampled) and self.draws >= ENOUGH

    def __call__(
        self, problem: Problem, objective: Objective, adv: Tensor, stream: Stream, progress: float
    ) -> Estimate:
        """Mean over the draws."""
        through, path, values, margins = [], [], [], []
        for draw in range(self.draws):
            leaf = adv.detach().requires_grad_()
            policy = problem.view.policy if problem.view.policy.of_gates.random else Sampled()
            found = problem.look(leaf, attacker_policies.Detached(policy.drawn(stream.child(draw))), "sparse")
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
    k-winners-take-all (Tramèr et al., arXiv 2002.08347). Both points of a pair see the same noise of the gates. `sigma`
    is a share of what epsilon is per pixel where all change alike.
    """

    recipe: EvolutionMode
    of_gates: ClassVar[bool] = False

    def judges(self, deployed: Policy) -> bool:
        """Never: its passes are beside the iterate."""
        return False

    @torch.no_grad()
    def __call__(
        self, problem: Problem, objective: Objective, adv: Tensor, stream: Stream, progress: float
    ) -> Estimate:
        """Mean over the pairs of (difference of the objective) · direction / (2 sigma)."""
        sigma = self.recipe.sigma * problem.threat.value / problem.threat.ball.diagonal(adv[0].numel())
        gradient, value, margins = torch.zeros_like(adv), adv.new_zeros(len(adv)), adv.new_zeros(len(adv))
        for draw in range(self.draws):
            own = stream.child(draw)
            direction = own.child(0).normal(*adv.shape[1:])
            above, below = (
                problem.look(point, problem.view.policy.drawn(own.child(1)), "sparse")
                for point in (adv + sigma * direction, adv - sigma * direction)
            )
            up, down = (objective(side, problem, progress) for side in (above, below))
            gradient += ((up - down) / (2 * sigma * self.draws)).view(-1, 1, 1, 1) * direction
            value = value + (up + down) / (2 * self.draws)
            margins = margins + (margin(above.logits, problem.y) + margin(below.logits, problem.y)) / (2 * self.draws)
        return Estimate(gradient, value, margins)
