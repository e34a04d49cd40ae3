"""Intervals of a share, and what all intervals have in common."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from robustbench_aig.medians import CONFIDENCE

__all__ = ["CONFIDENCE", "Floats", "Interval", "wilson"]

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A two-sided interval, of `CONFIDENCE` where nothing else is said."""

    low: float
    high: float


def wilson(count: int, n: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Score interval of a share: `count` of `n` images. Stays inside [0, 1] and is not empty at 0 or n.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.

    Raises:
        ValueError: if n is 0 or count lies outside [0, n].
    """
    low, high = binomtest(count, n).proportion_ci(confidence, method="wilson")
    return Interval(float(low), float(high))
