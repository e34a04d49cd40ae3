"""What a check takes. No torch."""

from __future__ import annotations

from typing import NamedTuple


class Cost(NamedTuple):
    """Work of a check, in passes of one image.

    Attributes:
        forwards: without a gradient, through the network itself.
        gradients: forward and back, through the copy that attacks work on.
    """

    forwards: float = 0
    gradients: float = 0

    def plus(self, other: Cost) -> Cost:
        """The sum of both."""
        return Cost(self.forwards + other.forwards, self.gradients + other.gradients)

    def seconds(self, forward: float, gradient: float) -> float:
        """Time, where a pass takes so many seconds."""
        return self.forwards * forward + self.gradients * gradient
