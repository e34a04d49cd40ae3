"""Norms: what a ball of each is, and how to move in it. A new one is a class here and its name in `Norm`. No torch.

Every place that would ask which norm it is asks the ball for what it needs to know.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from fractions import Fraction

    from torch import Tensor

Norm = Literal["linf", "l2", "l1"]
DEFAULT: Norm = "linf"
_HALVINGS = 54
"""Of an interval of thresholds: those of a float64's digits."""


class Ball(ABC):
    """The balls of one norm, of any radius, around images in [0, 1].

    Attributes:
        name: what commands and records call the norm.
        symbol: what readers see of it.
        p: the norm is the p-th root of the sum of p-th powers.
        rounding: relative error that a length summed in float32 carries.
        pixelwise: whether the radius bounds every pixel by itself, so that a full step moves each by all of it.
        sparse: whether a step goes furthest along few pixels, so that how many is to be chosen.
        usual: a radius that is common in the literature.
        radii: from one that costs a network of photographs next to nothing to one that costs it everything.
    """

    name: ClassVar[Norm]
    symbol: ClassVar[str]
    p: ClassVar[float]
    rounding: ClassVar[float] = 0.0
    pixelwise: ClassVar[bool] = False
    sparse: ClassVar[bool] = False
    usual: ClassVar[str]
    radii: ClassVar[tuple[str, ...]]

    @abstractmethod
    def length(self, change: Tensor) -> Tensor:
        """Size (B,) of changes (B, …)."""

    @abstractmethod
    def dual(self, vectors: Tensor) -> Tensor:
        """(…) the most that a linear function (…, D) rises over a step of length 1: its length in the dual norm."""

    @abstractmethod
    def project(self, x: Tensor, clean: Tensor, radius: float) -> Tensor:
        """The nearest point to `x` of the ball around `clean`, then clipped to [0, 1]: that leads nearer to `clean`."""

    @abstractmethod
    def steepest(self, gradient: Tensor) -> Tensor:
        """The step (B, …) of length 1 that raises a loss of this gradient most."""

    @abstractmethod
    def inside(self, uniform: Tensor, radius: Tensor) -> Tensor:
        """Changes (B, …) that fill the ball of radius 1 evenly.

        Args:
            uniform: (B, …) in (0, 1), the randomness of the direction.
            radius: (B,) in (0, 1), that of the length, where directions alone don't say it.
        """

    def step(self, x: Tensor, gradient: Tensor, size: float | Tensor) -> Tensor:
        """`x` after the steepest step of a size, one for all or (B, 1, …); it may lead out of ball and box."""
        return x + size * self.steepest(gradient)

    def diagonal(self, pixels: int) -> float:
        """The length of a change of every pixel by 1, as from black to white: the longest that there is."""
        return float(pixels ** (1 / self.p))

    def spelled(self, radius: Fraction) -> str:
        """A radius that nobody wrote, in few digits."""
        return f"{float(radius):.4g}"


class _Linf(Ball):
    """The largest change of a pixel."""

    name, symbol, p = "linf", "L∞", math.inf
    pixelwise = True
    usual = "8/255"
    radii = ("0.25/255", "0.5/255", "1/255", "2/255", "4/255", "8/255", "16/255", "32/255", "64/255")

    def length(self, change: Tensor) -> Tensor:
        return change.flatten(1).abs().amax(1)

    def dual(self, vectors: Tensor) -> Tensor:
        return vectors.abs().sum(-1)

    def project(self, x: Tensor, clean: Tensor, radius: float) -> Tensor:
        return (clean + (x - clean).clamp(-radius, radius)).clamp(0, 1)

    def steepest(self, gradient: Tensor) -> Tensor:
        return gradient.sign()

    def inside(self, uniform: Tensor, radius: Tensor) -> Tensor:
        return 2 * uniform - 1

    def spelled(self, radius: Fraction) -> str:
        return f"{float(radius * 255):.4g}/255"


class _L2(Ball):
    """The Euclidean length of the change."""

    name, symbol, p = "l2", "L2", 2.0
    rounding = 1e-6
    usual = "0.5"
    radii = ("0.03125", "0.0625", "0.125", "0.25", "0.5", "1", "2", "4", "8")

    def length(self, change: Tensor) -> Tensor:
        return self.dual(change.flatten(1))

    def dual(self, vectors: Tensor) -> Tensor:
        length: Tensor = vectors.norm(dim=-1)
        return length

    def project(self, x: Tensor, clean: Tensor, radius: float) -> Tensor:
        change = x - clean
        # In a ball there is nothing to do where the change has no length: radius / 0 is infinite, and clamped.
        return (clean + change * (radius / per_image(self.length(change), change)).clamp_max(1.0)).clamp(0, 1)

    def steepest(self, gradient: Tensor) -> Tensor:
        return unit(gradient)

    def inside(self, uniform: Tensor, radius: Tensor) -> Tensor:
        # A Gaussian direction (by the inverse of the error function) and radius u^(1/d) fill the ball evenly.
        return unit((2 * uniform - 1).erfinv()) * per_image(radius, uniform) ** (1 / uniform[0].numel())


class _L1(Ball):
    """The sum over pixels of their changes: few pixels may change by much, or many by little.

    Projections are those onto the part of the ball that lies in [0, 1]: to project on the ball and then to clip ends
    inside, but not at the nearest point (Croce and Hein, "Mind the box", arXiv 2103.01208).
    """

    name, symbol, p = "l1", "L1", 1.0
    rounding = 1e-6
    sparse = True
    usual = "12"
    radii = ("0.25", "0.5", "1", "2", "4", "8", "16", "32", "64", "128")

    def length(self, change: Tensor) -> Tensor:
        return change.flatten(1).abs().double().sum(1).to(change.dtype)

    def dual(self, vectors: Tensor) -> Tensor:
        return vectors.abs().amax(-1)

    def project(self, x: Tensor, clean: Tensor, radius: float) -> Tensor:
        change = x.double() - clean
        room = (1 - clean).where(change > 0, clean)
        kept = _shrunk(change.abs().flatten(1), room.double().flatten(1), radius).view_as(change)
        found = (clean + kept.copysign(change)).to(x.dtype)
        # Rounding is added up over all pixels: each is rounded towards its clean value, so that none leads outside.
        return found.nextafter(clean).where((found.double() - clean).abs() > kept, found)

    def steepest(self, gradient: Tensor) -> Tensor:
        return _filled(gradient, gradient.new_ones(gradient.shape), 1.0)

    def step(self, x: Tensor, gradient: Tensor, size: float | Tensor) -> Tensor:
        """The steepest within [0, 1]: a pixel goes all the way to an end of its range before the next one moves."""
        return x + _filled(gradient, (1 - x).where(gradient > 0, x), size)

    def inside(self, uniform: Tensor, radius: Tensor) -> Tensor:
        # Laplace variables over their sum are evenly spread on the sphere; their length is u^(1/d), as in every norm.
        spread = 2 * uniform - 1
        direction = -(-spread.abs()).log1p() * spread.sign()
        return direction * per_image(radius ** (1 / uniform[0].numel()) / self.length(direction), uniform)


BALLS: dict[Norm, Ball] = {ball.name: ball for ball in (_Linf(), _L2(), _L1())}
"""By the names of their norms, in the order in which readers see them."""


def unit(vectors: Tensor) -> Tensor:
    """Each of B vectors (B, …) over its Euclidean length, however short it is; zeros where all of it is zero."""
    brought = of_order_one(vectors)
    length = per_image(brought.flatten(1).norm(dim=1), brought)
    return brought / length.where(length > 0, length + 1)


def of_order_one(vectors: Tensor) -> Tensor:
    """Each of B vectors (B, …) times the power of two that brings its largest entry between 1/2 and 1.

    Nothing is rounded by that, and no square of what counts underflows afterwards.
    """
    exponent = per_image(vectors.detach().abs().flatten(1).amax(1).frexp().exponent, vectors)
    # In two halves, because 2^148, by which the smallest float32 is to be multiplied, is none itself.
    return vectors.ldexp(-(exponent // 2)).ldexp(exponent // 2 - exponent)


def _shrunk(wanted: Tensor, most: Tensor, total: float) -> Tensor:
    """The nearest point to `wanted` (B, D) with entries from 0 to `most` (B, D) that sum to no more than `total`.

    It is min(max(wanted - t, 0), most) with the smallest t >= 0 at which the sum fits (without `most` that of Duchi et
    al. 2008). The sum falls in t, so bisection finds it to the last bits of float64, from the side that fits.
    """
    low, high = wanted.new_zeros(len(wanted), 1), wanted.amax(1, keepdim=True)

    def at(threshold: Tensor) -> Tensor:
        return (wanted - threshold).clamp_min(0).minimum(most)

    fits = at(low).sum(1, keepdim=True) <= total
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        over = at(middle).sum(1, keepdim=True) > total
        low, high = middle.where(over, low), high.where(over, middle)
    return at(high.masked_fill(fits, 0.0))


def _filled(gradient: Tensor, room: Tensor, size: float | Tensor) -> Tensor:
    """The change (B, …) of length `size` in L1 that raises a linear loss most, where pixels may change by `room`."""
    order = gradient.flatten(1).abs().sort(dim=1, descending=True, stable=True).indices
    left = room.flatten(1).gather(1, order)
    length = size if isinstance(size, float) else size.flatten(1)
    taken = (length - (left.cumsum(1) - left)).clamp_min(0).minimum(left)
    return taken.new_zeros(taken.shape).scatter(1, order, taken).view_as(gradient) * gradient.sign()


def per_image(values: Tensor, images: Tensor) -> Tensor:
    """Values (B,) in the shape (B, 1, …) in which they meet images (B, …)."""
    return values.view(-1, *[1] * (images.dim() - 1))
