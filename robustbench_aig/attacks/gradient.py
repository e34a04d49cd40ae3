"""Gradient attacks of our own: exact in the ball, their randomness tied to the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbench_aig.attacks.attack_loop import Ascent, climb
from robustbench_aig.attacks.gradient_modes import Estimate, Mode, StraightThrough
from robustbench_aig.attacks.iterate_selection import Keep
from robustbench_aig.attacks.objectives import CrossEntropy, Objective
from robustbench_aig.attacks.problem import Problem
from robustbench_aig.attacks.protocol import Attack, View
from robustbench_aig.errors import InputError
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Norm, Shape, Threat


def input_gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Gradient (B, C, H, W) of each image's cross-entropy; summed, so that no image's is scaled by the batch."""
    x = x.detach().requires_grad_()
    loss = F.cross_entropy(model(x), y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x)
    return gradient


def random_start(x: Tensor, threat: Threat, stream: Stream) -> Tensor:
    """A uniformly random point of the threat's ball around each image (B, C, H, W)."""
    radius = stream.child(1).uniform(1)[:, 0]
    return threat.random_start(x, stream.child(0).uniform(*x.shape[1:]), radius)


def ascend(
    gradient: Callable[[Tensor], Tensor], x: Tensor, start: Tensor, threat: Threat, steps: int, step: float
) -> Tensor:
    """Projected gradient ascent, as adversarial training needs it.

    Args:
        gradient: of what is to rise, at images (B, C, H, W).
        x: the images around which the ball lies.
        start: where to begin.
        threat: the ball.
        steps: number of them.
        step: size of one as a share of epsilon.

    Returns:
        The last iterate.
    """
    adv = start
    for _ in range(steps):
        adv = move(adv, gradient(adv), x, threat, step)
    return adv


def move(adv: Tensor, gradient: Tensor, x: Tensor, threat: Threat, step: float) -> Tensor:
    """One projected step (B, C, H, W) along the gradient; its size as a share of epsilon."""
    return threat.project(adv + step * threat.value * threat.steepest(gradient), x)


@dataclass(frozen=True)
class GradientAttack(Attack):
    """What all of ours have in common.

    Attributes:
        mode: how the gradient gets past the gates.
        objective: what is raised.
    """

    mode: Mode = field(default_factory=StraightThrough)
    objective: Objective = field(default_factory=CrossEntropy)

    provider: ClassVar[str] = "aigrob"
    own_noise: ClassVar[bool] = True

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """Where the objective compares more logits than there are."""
        if classes < self.objective.classes:
            name = type(self.objective).__name__
            raise InputError(f"objective {name} needs {self.objective.classes} classes, the network has {classes}")


class _Fixed(Ascent):
    """Steps of one size."""

    def __init__(self, start: Tensor, size: float) -> None:
        self.adv, self._size = start, size

    def step(self, problem: Problem, estimate: Estimate) -> None:
        self.adv = move(self.adv, estimate.gradient, problem.x, problem.threat, self._size)


@dataclass(frozen=True)
class Fgsm(GradientAttack):
    """Fast gradient sign method: one step of full size (Goodfellow et al., arXiv 1412.6572)."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """`x` + eps · the steepest unit step, clipped."""
        problem = Problem(model, x, y, threat, stream)
        return climb(
            problem, lambda own: _Fixed(own.x, 1.0), self.mode, self.objective, steps=1, restarts=1, keep="last"
        )


@dataclass(frozen=True)
class Pgd(GradientAttack):
    """Projected gradient descent (Madry et al., arXiv 1706.06083, section 2.1).

    Attributes:
        steps: number of gradient steps.
        step: size of one as a share of epsilon.
        random_start: begin at a random point of the ball instead of the image.
        restarts: how often to begin.
        keep: which iterate to return.
    """

    steps: int = 20
    step: float = 0.125
    random_start: bool = True
    restarts: int = 1
    keep: Keep = "last"

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The iterate that `keep` says."""
        problem = Problem(model, x, y, threat, stream)
        return climb(
            problem,
            lambda own: _Fixed(random_start(own.x, threat, own.stream) if self.random_start else own.x, self.step),
            self.mode,
            self.objective,
            steps=self.steps,
            restarts=self.restarts,
            keep=self.keep,
        )
