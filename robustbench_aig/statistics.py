"""Intervals and paired tests over images, and medians of repeated measurements. No torch.

The unit is the image: every function over scores takes one per image, so draws of a random policy are averaged
before they come here. All intervals are two-sided, 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import binomtest

CONFIDENCE = 0.95
RESAMPLES = 10_000

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A two-sided 95 % interval."""

    low: float
    high: float


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


def wilson(count: int, n: int) -> Interval:
    """Score interval of a share: `count` of `n` images. Stays inside [0, 1] and is not empty at 0 or n.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.

    Raises:
        ValueError: if n is 0 or count lies outside [0, n].
    """
    low, high = binomtest(count, n).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(float(low), float(high))


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value that two classifiers are right equally often on the same images.

    Args:
        only_first: images that only the first classifier got right.
        only_second: images that only the second got right. Without any such pair the p-value is 1.

    Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 1947; exact form: a fair coin over the discordant pairs.
    """
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def bootstrap_mean(
    values: Floats, *, seed: int, bounds: tuple[float, float] = (0.0, 1.0), resamples: int = RESAMPLES
) -> Interval:
    """BCa bootstrap interval of a mean over images.

    A resample of images is a multinomial count over the distinct values, so scores that are multiples of 1/K
    (a random policy judged by K draws) cost K + 1 binomials per resample however many images there are.

    Where all values are equal the bootstrap sees no spread and would claim certainty. Then the interval
    allows for the share of unlike images that could have stayed unseen (the upper Wilson limit of 0 in N),
    each as far off as `bounds` permit.

    Args:
        values: (N,) scores, N >= 1.
        seed: of the resampling.
        bounds: the smallest and largest value that a score can take.
        resamples: number of bootstrap samples.

    Source: B. Efron, "Better bootstrap confidence intervals", JASA 1987.
    """
    n, mean = values.size, float(values.mean())
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size == 1:
        unseen = wilson(0, n).high
        return Interval(mean - unseen * (mean - bounds[0]), mean + unseen * (bounds[1] - mean))
    resampled = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples)
    return _bca(values - mean, mean, resampled @ distinct / n)


def bootstrap_difference(first: Floats, second: Floats, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """BCa bootstrap interval of mean(first - second), paired: images are resampled, not the two scores.

    Args:
        first: (N,) scores in [0, 1].
        second: (N,) scores in [0, 1] of the same images.
        seed: of the resampling.
        resamples: number of bootstrap samples.

    Source: B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 14.
    """
    return bootstrap_mean(first - second, seed=seed, bounds=(-1.0, 1.0), resamples=resamples)


def _bca(deviations: Floats, mean: float, resampled: Floats) -> Interval:
    """Bias-corrected, accelerated percentiles; for a mean the jackknife behind the acceleration is closed."""
    # Scores lie on a lattice, so many resampled means equal the mean up to rounding: they count half.
    rounding = 1e-12
    below = np.mean(resampled < mean - rounding) + 0.5 * np.mean(np.abs(resampled - mean) <= rounding)
    bias = ndtri(below)
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    shifted = bias + ndtri(np.array([1 - CONFIDENCE, 1 + CONFIDENCE]) / 2)
    low, high = np.quantile(resampled, ndtr(bias + shifted / (1 - acceleration * shifted)))
    return Interval(float(low), float(high))
