"""Gradient attacks of our own: exact in the ball, their randomness tied to the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbench_aig.attacks.protocol import Attack
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Threat


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
    """Projected gradient ascent.

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
        adv = threat.project(adv + step * threat.value * threat.steepest(gradient(adv)), x)
    return adv


@dataclass(frozen=True)
class Fgsm(Attack):
    """Fast gradient sign method: one step of full size (Goodfellow et al., arXiv 1412.6572)."""

    provider: ClassVar[str] = "aigrob"
    own_noise: ClassVar[bool] = True

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """`x` + eps · the steepest unit step, clipped; needs no randomness of its own."""
        return threat.project(x + threat.value * threat.steepest(input_gradient(model, x, y)), x)


@dataclass(frozen=True)
class Pgd(Attack):
    """Projected gradient descent on the cross-entropy (Madry et al., arXiv 1706.06083, section 2.1).

    Attributes:
        steps: number of gradient steps.
        step: size of one as a share of epsilon.
        random_start: begin at a random point of the ball instead of the image.
    """

    steps: int = 20
    step: float = 0.125
    random_start: bool = True

    provider: ClassVar[str] = "aigrob"
    own_noise: ClassVar[bool] = True

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The last iterate."""
        start = random_start(x, threat, stream) if self.random_start else x
        return ascend(lambda adv: input_gradient(model, adv, y), x, start, threat, self.steps, self.step)
