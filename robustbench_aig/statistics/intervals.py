"""Intervals of a share, and what all intervals have in common."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy  # scipy.stats takes most of a second, and is imported when it's used
from numpy.typing import NDArray
from scipy.special import betaincinv

from robustbench_aig.medians import CONFIDENCE

__all__ = ["CONFIDENCE", "Floats", "Interval", "wilson"]

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A two-sided interval, of `CONFIDENCE` where nothing else is said."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside; what an interval excludes is significantly different from what it is of."""
        return not self.low <= value <= self.high


def wilson(count: int, n: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Score interval of a share: `count` of `n` images. Stays inside [0, 1] and is not empty at 0 or n.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.

    Raises:
        ValueError: if n is 0 or count lies outside [0, n].
    """
    low, high = scipy.stats.binomtest(count, n).proportion_ci(confidence, method="wilson")
    return Interval(float(low), float(high))


def clopper_pearson(count: int, n: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Exact interval of a share: `count` of `n` images; (0, 1) where n is 0.

    Source: C. Clopper and E. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 1934.
    """
    tail = (1 - confidence) / 2
    return Interval(
        float(betaincinv(count, n - count + 1, tail)) if count else 0.0,
        float(betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0,
    )
