"""The threat: a norm and an epsilon. The only carrier of epsilon in the package."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from robustbench_aig.errors import ThreatError, did_you_mean
from robustbench_aig.norms import BALLS, DEFAULT, Ball, Norm

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TOLERANCE", "Norm", "Shape", "Threat"]

Shape = tuple[int, int, int]
"""Channels, height and width of an image."""
TOLERANCE = 1e-6
"""Containment is checked to this tolerance: float32 projection overshoots by about 1e-8 (linf)."""


@dataclass(frozen=True)
class Threat:
    """The set of images an attacker may choose: a ball of radius `eps` around the image, within [0, 1].

    Attributes:
        norm: one of `norms.BALLS`, such as "linf".
        radius: in units of the [0, 1] pixel range, exact.
        eps: the same in the spelling that the user gave; two of equal radius are one threat, however spelled.
    """

    norm: Norm
    radius: Fraction
    eps: str = field(compare=False)

    @classmethod
    def parse(cls, text: str, norm: str = DEFAULT) -> Threat:
        """Read `4/255`, `0.5/255` or `0.03`; refuse what cannot be meant.

        Raises:
            ThreatError: naming what is wrong and what to write instead.
        """
        radius = _exact(text)
        if radius <= 0:
            raise ThreatError(f"epsilon '{text}' must be above 0, like 4/255 (clean accuracy is always measured too)")
        threat = cls(known_norm(norm), radius, text.strip())
        if threat.ball.pixelwise and (radius > 1 or threat.eps == "1"):
            raise ThreatError(
                f"epsilon '{text}' spans more than the pixel range [0, 1]: did you mean {threat.eps}/255?"
            )
        return threat

    @property
    def value(self) -> float:
        """Epsilon as the nearest float."""
        return float(self.radius)

    @property
    def key(self) -> str:
        """Identifies the threat whatever its spelling: "linf 4/255"; part of every seed."""
        return f"{self.norm} {self.radius}"

    @property
    def rank(self) -> tuple[int, Fraction]:
        """Where readers see it among others: by norm, and then by size."""
        return list(BALLS).index(self.norm), self.radius

    def __str__(self) -> str:
        return f"{self.norm} {self.eps}"

    @property
    def ball(self) -> Ball:
        """What the norm decides."""
        return BALLS[self.norm]

    def distance(self, x: Tensor, clean: Tensor) -> Tensor:
        """Size (B,) of the change from `clean` to `x`, both (B, C, H, W), in this threat's norm."""
        return self.ball.length(x - clean)

    def contains(self, x: Tensor, clean: Tensor) -> Tensor:
        """Whether each image (B,) lies in the ball and in [0, 1], to the tolerance; NaN does not."""
        slack = TOLERANCE + self.ball.rounding * self.value
        flat = x.flatten(1)
        in_box = (flat >= -TOLERANCE).all(1) & (flat <= 1 + TOLERANCE).all(1)
        return in_box & (self.distance(x, clean) <= self.value + slack)

    def project(self, x: Tensor, clean: Tensor) -> Tensor:
        """The nearest point (B, C, H, W) of the ball, then clipped to [0, 1]."""
        return self.ball.project(x, clean, self.value)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The step (B, C, H, W) of length 1 that raises a loss most."""
        return self.ball.steepest(gradient)

    def step(self, x: Tensor, gradient: Tensor, clean: Tensor, size: float | Tensor) -> Tensor:
        """The steepest step from `x`, projected (B, C, H, W); its size or sizes (B, 1, 1, 1) are shares of epsilon."""
        return self.project(self.ball.step(x, gradient, size * self.value), clean)

    def random_start(self, clean: Tensor, uniform: Tensor, radius: Tensor) -> Tensor:
        """A uniformly random point of the ball, clipped to [0, 1].

        Args:
            clean: (B, C, H, W) in [0, 1].
            uniform: (B, C, H, W) in (0, 1), the randomness of the direction.
            radius: (B,) in (0, 1), the randomness of its length; unused for linf.
        """
        return self.project(clean + self.ball.inside(uniform, radius) * self.value, clean)

    def corner(self, clean: Tensor, uniform: Tensor) -> Tensor:
        """A change of full size in a random direction: every pixel by the same, up or down."""
        signs = (uniform > 0.5).to(clean.dtype) * 2 - 1
        return (clean + signs * self.per_pixel(clean[0].numel())).clamp(0, 1)

    def per_pixel(self, pixels: int) -> float:
        """The change of each of so many pixels where it is the same for all and of full size."""
        return self.value / self.ball.diagonal(pixels)


def known_norm(text: str) -> Norm:
    """The norm of that name; ThreatError where there is none."""
    if text not in BALLS:
        raise ThreatError(f"unknown norm '{text}': {did_you_mean(text, BALLS)}")
    return text


_NUMBER = re.compile(r"[+-]?(?=\.?[0-9])[0-9]{0,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?")
"""So short that no power of ten takes seconds, or memory, to be written out."""
_LEAST, _MOST = Fraction(1, 10**30), Fraction(10**30)
"""Within these, float32 holds a radius."""


def _exact(text: str) -> Fraction:
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    parts = [part.strip() for part in text.split("/")]
    if len(parts) > 2 or not all(map(_NUMBER.fullmatch, parts)):
        raise ThreatError(f"epsilon '{shown}' is not a number: write it like 4/255 or 0.03")
    numerator, denominator = map(Fraction, [*parts, "1"][:2])
    if not denominator:
        raise ThreatError(f"epsilon '{shown}' divides by zero: write it like 4/255")
    eps = numerator / denominator
    if eps and not _LEAST <= abs(eps) <= _MOST:
        raise ThreatError(f"epsilon '{shown}' is no size that a change of images can have: write it like 4/255 or 0.03")
    return eps
