"""The jackknife over groups: an interval of a statistic that is no mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from robustbench_aig.statistics.intervals import CONFIDENCE, Interval


def jackknife(statistic: Callable[[NDArray[np.int64]], float], n: int, *, groups: int) -> Interval:
    """Student's t interval around a smooth statistic, from leaving out each of several groups of images in turn.

    Args:
        statistic: of the images at some positions.
        n: how many there are, independent of one another; the k-th is in group k modulo `groups`.
        groups: at least two, and at most n.

    Raises:
        ValueError: with other numbers of groups.

    Source: B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 11; J. Shao and D. Tu, "The
    Jackknife and Bootstrap", 1995, section 2.3 (grouped).
    """
    if not 2 <= groups <= n:
        raise ValueError(f"needs at least 2 groups and no more than images: {groups}, {n}")
    positions = np.arange(n)
    left_out = np.array([statistic(positions[positions % groups != group]) for group in range(groups)])
    variance = (groups - 1) / groups * ((left_out - left_out.mean()) ** 2).sum()
    half = float(stdtrit(groups - 1, (1 + CONFIDENCE) / 2) * np.sqrt(variance))
    value = statistic(positions)
    return Interval(value - half, value + half)
