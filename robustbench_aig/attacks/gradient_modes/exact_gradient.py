"""The exact gradient over all that few gates can decide."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_aig.attacks.attack_problem import Pass, Problem, margin
from robustbench_aig.attacks.gradient_modes.gradient_mode import Estimate, Mode
from robustbench_aig.attacks.objectives import Objective
from robustbench_aig.gating import Every, Independent, Policy, at_once, every_pattern
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes.gradients import ExactMode

_TIE = 1e-3
"""What the mean margin adds to how much more often the network is right than wrong, to choose between equals."""


@dataclass(frozen=True)
class Exact(Mode):
    """The objective of the random network itself, its gradient through features and probabilities of patterns alike.

    Every pattern of the gates is gone through and counts by its probability: cross-entropy is that of the expected
    probability of the label, any other objective its expectation. Nothing is drawn. It takes as much as 57 passes with
    nine gates, and as much memory as a pass with as many images as there are patterns.
    """

    recipe: ExactMode

    def judges(self, deployed: Policy) -> bool:
        """Wherever gates are all that draws."""
        return isinstance(deployed, Independent)

    def __call__(
        self, problem: Problem, objective: Objective, adv: Tensor, stream: Stream, progress: float
    ) -> Estimate:
        """Some images at a time; InputError where there are too many patterns, or none with a probability."""
        parts = [self._estimate(problem[part], objective, adv[part], progress) for part in _parts(problem)]
        return Estimate(*map(torch.cat, zip(*parts, strict=True)))

    @torch.no_grad()
    def deployed_margin(self, problem: Problem, adv: Tensor) -> Tensor:
        """As that of an estimate."""
        return torch.cat([_advantage(_every(problem, adv[part]), problem.y[part]) for part in _parts(problem)])

    def _estimate(self, problem: Problem, objective: Objective, adv: Tensor, progress: float) -> Estimate:
        leaf = adv.detach().requires_grad_()
        every = _every(problem, leaf)
        count, images = every.logits.shape[:2]
        found = Pass(every.logits.flatten(0, 1), every.probabilities.flatten(0, 1), every.decisions.flatten(0, 1))
        of_each = problem[torch.arange(images, device=adv.device).repeat(count)]
        values = objective(found, of_each, progress).view(count, images)
        value = objective.expect(values, every.log_probability)
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
        problem.view.backwards += round((every.passes - 1) * images)
        return Estimate(gradient, value.detach(), _advantage(every, problem.y))


def _parts(problem: Problem) -> list[slice]:
    """Images that go through the network at once."""
    size = at_once(problem.view.model, problem.x.device)
    return [slice(start, start + size) for start in range(0, len(problem.x), size)]


def _every(problem: Problem, x: Tensor) -> Every:
    """All patterns of images (B, C, H, W), counted as the passes that they are worth."""
    view = problem.view
    every = every_pattern(view, view.model, x, view.policy)
    view.forwards += round((every.passes - 1) * len(x))
    return every


def _advantage(every: Every, y: Tensor) -> Tensor:
    """(B,) by how much likelier a right answer is than a wrong one; of equals the lower mean margin is lower."""
    count, images = every.logits.shape[:2]
    weight = every.log_probability.detach().exp()
    margins = margin(every.logits.detach().flatten(0, 1), y.repeat(count)).view(count, images)
    return (weight * margins.sign()).sum(0) + _TIE * (weight * margins).sum(0).tanh()
