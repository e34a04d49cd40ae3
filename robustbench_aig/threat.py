"""The threat: a norm and an epsilon. The only carrier of epsilon in the package."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, cast, get_args

from robustbench_aig.errors import ThreatError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

Norm = Literal["linf", "l2"]
Shape = tuple[int, int, int]
"""Channels, height and width of an image."""
TOLERANCE = 1e-6
"""Containment is checked to this tolerance: float32 projection overshoots by about 1e-8 (linf)."""
_L2_ROUNDING = 1e-6
"""An L2 norm summed in float32 carries a relative error of this order on top."""


@dataclass(frozen=True)
class Threat:
    """The set of images an attacker may choose: a ball of radius `eps` around the image, within [0, 1].

    Attributes:
        norm: "linf" (largest change of one pixel) or "l2" (Euclidean length of the change).
        eps: radius in units of the [0, 1] pixel range, exact.
        text: the spelling the user gave, kept for reports.
    """

    norm: Norm
    eps: Fraction
    text: str

    @classmethod
    def parse(cls, text: str, norm: str = "linf") -> Threat:
        """Read `4/255`, `0.5/255` or `0.03`; refuse what cannot be meant.

        Raises:
            ThreatError: naming what is wrong and what to write instead.
        """
        if norm not in get_args(Norm):
            raise ThreatError(f"unknown norm '{norm}': {did_you_mean(norm, get_args(Norm))}")
        eps = _exact(text)
        if eps <= 0:
            raise ThreatError(f"epsilon '{text}' must be above 0, like 4/255 (clean accuracy is always measured too)")
        if norm == "linf" and (eps > 1 or text.strip() == "1"):
            raise ThreatError(
                f"epsilon '{text}' spans more than the pixel range [0, 1]: did you mean {text.strip()}/255?"
            )
        return cls(cast("Norm", norm), eps, text.strip())

    @property
    def value(self) -> float:
        """Epsilon as the nearest float."""
        return float(self.eps)

    @property
    def key(self) -> str:
        """Identifies the threat whatever its spelling: "linf 4/255"; part of every seed."""
        return f"{self.norm} {self.eps}"

    def __str__(self) -> str:
        return f"{self.norm} {self.text}"

    def distance(self, x: Tensor, clean: Tensor) -> Tensor:
        """Size (B,) of the change from `clean` to `x`, both (B, C, H, W), in this threat's norm."""
        delta = (x - clean).flatten(1)
        return delta.abs().amax(1) if self.norm == "linf" else delta.norm(dim=1)

    def contains(self, x: Tensor, clean: Tensor) -> Tensor:
        """Whether each image (B,) lies in the ball and in [0, 1], to the tolerance; NaN does not."""
        slack = TOLERANCE + (_L2_ROUNDING * self.value if self.norm == "l2" else 0.0)
        flat = x.flatten(1)
        in_box = (flat >= -TOLERANCE).all(1) & (flat <= 1 + TOLERANCE).all(1)
        return in_box & (self.distance(x, clean) <= self.value + slack)

    def project(self, x: Tensor, clean: Tensor) -> Tensor:
        """The nearest point (B, C, H, W) of the ball, then clipped to [0, 1].

        Clipping after an L2 projection cannot leave the ball, because `clean` lies in the box too.
        """
        delta = x - clean
        if self.norm == "linf":
            delta = delta.clamp(-self.value, self.value)
        else:
            # In a ball there is nothing to do where the change has no length: eps / 0 is infinite, and clamped.
            delta = delta * (self.value / _length(delta)).clamp_max(1.0)
        return (clean + delta).clamp(0, 1)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The unit step (B, C, H, W) that raises a loss most: its gradient's sign, or its direction."""
        if self.norm == "linf":
            return gradient.sign()
        return unit(gradient)

    def random_start(self, clean: Tensor, uniform: Tensor, radius: Tensor) -> Tensor:
        """A uniformly random point of the ball, clipped to [0, 1].

        Args:
            clean: (B, C, H, W) in [0, 1].
            uniform: (B, C, H, W) in (0, 1), the randomness of the direction.
            radius: (B,) in (0, 1), the randomness of an L2 ball's radius; unused for linf.
        """
        if self.norm == "linf":
            delta = (2 * uniform - 1) * self.value
        else:
            # A Gaussian direction (by the inverse of the error function) and radius u^(1/d) fill the ball evenly.
            direction = (2 * uniform - 1).erfinv()
            share = radius.view(-1, 1, 1, 1) ** (1 / clean[0].numel())
            delta = unit(direction) * share * self.value
        return self.project(clean + delta, clean)

    def corner(self, clean: Tensor, uniform: Tensor) -> Tensor:
        """A change of full size in a random direction: every pixel ±eps, or an L2 change of length eps."""
        signs = (uniform > 0.5).to(clean.dtype) * 2 - 1
        scale = self.value if self.norm == "linf" else self.value / clean[0].numel() ** 0.5
        return (clean + signs * scale).clamp(0, 1)


def unit(vectors: Tensor) -> Tensor:
    """Each of B vectors (B, …) over its Euclidean length, however short it is; zeros where all of it is zero."""
    brought = of_order_one(vectors)
    length = _length(brought)
    return brought / length.where(length > 0, length + 1)


def of_order_one(vectors: Tensor) -> Tensor:
    """Each of B vectors (B, …) times the power of two that brings its largest entry between 1/2 and 1.

    Nothing is rounded by that, and no square of what counts underflows afterwards.
    """
    shape = (-1, *[1] * (vectors.dim() - 1))
    exponent = vectors.detach().abs().flatten(1).amax(1).frexp().exponent.view(shape)
    # In two halves, because 2^148, by which the smallest float32 is to be multiplied, is none itself.
    return vectors.ldexp(-(exponent // 2)).ldexp(exponent // 2 - exponent)


def _length(delta: Tensor) -> Tensor:
    length: Tensor = delta.flatten(1).norm(dim=1)
    return length.view(-1, *[1] * (delta.dim() - 1))


def _exact(text: str) -> Fraction:
    parts = text.strip().split("/")
    try:
        if len(parts) == 1:
            return Fraction(parts[0])
        if len(parts) == 2:
            return Fraction(parts[0]) / Fraction(parts[1])
    except ZeroDivisionError:
        raise ThreatError(f"epsilon '{text}' divides by zero: write it like 4/255") from None
    except ValueError:
        pass
    raise ThreatError(f"epsilon '{text}' is not a number: write it like 4/255 or 0.03")
