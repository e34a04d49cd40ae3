"""The bootstrap of a mean over images."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from robustbench_aig.statistics.intervals import CONFIDENCE, Floats, Interval, wilson

RESAMPLES = 10_000


def bootstrap_mean(
    values: Floats,
    *,
    seed: int,
    bounds: tuple[float, float] = (0.0, 1.0),
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
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
        confidence: share of samples whose interval is to hold the truth.

    Source: B. Efron, "Better bootstrap confidence intervals", JASA 1987.
    """
    n, mean = values.size, float(values.mean())
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size == 1:
        unseen = wilson(0, n, confidence=confidence).high
        return Interval(mean - unseen * (mean - bounds[0]), mean + unseen * (bounds[1] - mean))
    resampled = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples)
    return _bca(values - mean, mean, resampled @ distinct / n, confidence)


def _bca(deviations: Floats, mean: float, resampled: Floats, confidence: float) -> Interval:
    """Bias-corrected, accelerated percentiles; for a mean the jackknife behind the acceleration is closed."""
    # Scores lie on a lattice, so many resampled means equal the mean up to rounding: they count half.
    rounding = 1e-12
    below = np.mean(resampled < mean - rounding) + 0.5 * np.mean(np.abs(resampled - mean) <= rounding)
    bias = ndtri(below)
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    shifted = bias + ndtri(np.array([1 - confidence, 1 + confidence]) / 2)
    low, high = np.quantile(resampled, ndtr(bias + shifted / (1 - acceleration * shifted)))
    return Interval(float(low), float(high))
