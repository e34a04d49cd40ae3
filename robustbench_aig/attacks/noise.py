"""Random changes that no gradient guided: the controls beside every attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from robustbench_aig.attacks.protocol import Attack, View
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Threat


@dataclass(frozen=True)
class Corners(Attack):
    """A random change of full size: every pixel ±eps, the same Linf and (but for clipping) L2 size as FGSM."""

    provider: ClassVar[str] = "aigrob"
    own_noise: ClassVar[bool] = True

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """One random corner of the ball per image; asks nothing of the model."""
        return threat.corner(x, stream.uniform(*x.shape[1:]))
