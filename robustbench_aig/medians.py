"""Medians of repeated measurements, between order statistics; without scipy, which a bare GPU machine may lack."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

CONFIDENCE = 0.95
"""Of all intervals where nothing else is said."""


class Median(NamedTuple):
    """A median, and the order statistics that enclose the true one with at least `CONFIDENCE`."""

    median: float
    low: float
    high: float


def median_with_interval(values: Sequence[float]) -> Median:
    """The median, between the k-th smallest and the k-th largest value.

    Exact whatever the distribution: the true median lies outside if fewer than k of the n values fall on one of its
    sides, and how many do is binomial with probability 1/2 (Conover, *Practical Nonparametric Statistics*, 3.2).

    Raises:
        ValueError: fewer than six values cannot enclose it with `CONFIDENCE`.
    """
    rank, ordered = interval_rank(len(values)), sorted(values)
    return Median(median(ordered), ordered[rank - 1], ordered[-rank])


def interval_rank(count: int) -> int:
    """The largest k whose interval still has `CONFIDENCE`: 2 for nine values; ValueError below six."""
    ranks = [rank for rank in range(1, (count + 1) // 2 + 1) if coverage(count, rank) >= CONFIDENCE]
    if not ranks:
        raise ValueError(f"{count} values cannot enclose a median with {CONFIDENCE:.0%}: take at least six")
    return ranks[-1]


def coverage(count: int, rank: int) -> float:
    """How likely the median of a continuous distribution lies between the rank-th smallest and largest of `count`."""
    on_one_side = sum(math.comb(count, below) for below in range(rank)) / (1 << count)
    return 1 - 2 * on_one_side
