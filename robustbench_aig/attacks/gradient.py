"""Gradient attacks of our own: exact in the ball, their randomness tied to the image."""

from __future__ import annotations

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
        adv = x
        if self.random_start:
            radius = stream.child(1).uniform(1)[:, 0]
            adv = threat.random_start(x, stream.child(0).uniform(*x.shape[1:]), radius)
        for _ in range(self.steps):
            direction = threat.steepest(input_gradient(model, adv, y))
            adv = threat.project(adv + self.step * threat.value * direction, x)
        return adv
