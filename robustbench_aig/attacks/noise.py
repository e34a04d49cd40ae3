"""Changes that no gradient guided at the image: the controls beside every attack."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_aig.attacks.attack_interface import Attack, OwnAttack, View
from robustbench_aig.attacks.fgsm_and_pgd import random_start
from robustbench_aig.errors import AttackError
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Norm, Shape, Threat

_PARTNERS = 4
"""Child of an image's stream that decides whose change it is given; gradient attacks use those before it."""


class Corners(OwnAttack):
    """A random change of full size: every pixel ±eps, the same Linf and (but for clipping) L2 size as FGSM."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """One random corner of the ball per image; asks nothing of the model."""
        return threat.corner(x, stream.uniform(*x.shape[1:]))


class UniformNoise(OwnAttack):
    """A random point of the ball, all of them as likely."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """One per image; asks nothing of the model."""
        return random_start(x, threat, stream)


class GreyImage(OwnAttack):
    """As near to a flat grey image as the ball allows.

    Flat images make as many activations as images that were optimised to (Müller and Quiring, arXiv 2403.18587).
    """

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The point of the ball next to it; asks nothing of the model."""
        return threat.project(torch.full_like(x, 0.5), x)


class NoiseImage(OwnAttack):
    """As near to an image of Gaussian noise as the ball allows: grey ± 1/4, clipped to [0, 1]."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The point of the ball next to it; asks nothing of the model."""
        gaussian = stream.normal(*x.shape[1:])
        return threat.project((0.5 + 0.25 * gaussian).clamp(0, 1), x)


@dataclass(frozen=True)
class Permuted(OwnAttack):
    """The change that an attack finds for another image: of its size and spectrum, and not made for this one.

    The other image is one of those that are attacked at once, so unlike with all else of ours what an image is given
    depends on its chunk.

    Attributes:
        attack: whose changes; one of ours.
    """

    attack: Attack

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """Whatever the attack does."""
        self.attack.refuse_unfit(classes, shape, norm)

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """Every image with another one's change, projected, and every change used once.

        Raises:
            AttackError: there is no other image.
        """
        if len(x) < 2:
            raise AttackError("an image alone in its chunk can't be given the change of another one")
        change = self.attack(model, x, y, threat, stream) - x
        return threat.project(x + change[others(stream)], x)


def others(stream: Stream) -> Tensor:
    """(B,) for each image the position of another one: the next in a random order of all, which closes to a ring."""
    order = stream.child(_PARTNERS).uniform(1)[:, 0].argsort()
    return torch.empty_like(order).scatter_(0, order, order.roll(-1))
