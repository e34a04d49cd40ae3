"""The mean of a bounded score over images, and the largest of several such means."""

from __future__ import annotations

import math

from scipy.special import stdtrit

from robustbench_aig.statistics.intervals import CONFIDENCE, Floats, Interval, clopper_pearson


def mean_interval(values: Floats, *, bounds: tuple[float, float], confidence: float = CONFIDENCE) -> Interval:
    """Student's t interval over the images and two more, one at either end of what a score can be.

    A sample says nothing of images unlike all of its own. The two stand for these: without them ten differences on
    one side, or all of one value, would claim certainty. Among many images they weigh nothing. Nor is either limit
    nearer than if the share of images that N can miss (the exact limit of 0 in N) were as far off as can be.

    Args:
        values: (N,) scores, N >= 1.
        bounds: the smallest and the largest value that a score can take.
        confidence: share of samples whose interval is to hold the truth.

    Source: for right and wrong A. Agresti and Y. Min, "Simple improved confidence intervals for comparing matched
    proportions", Statistics in Medicine 24, 2005; D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval
    for a difference of binomial proportions based on paired data", J. Educ. Behav. Stat. 37, 2012.
    """
    # The two imagined images count for the interval, not for the mean that is quoted.
    n, value = values.size + 2, float(values.mean())
    mean = (float(values.sum()) + sum(bounds)) / n
    squares = float(((values - mean) ** 2).sum()) + sum((bound - mean) ** 2 for bound in bounds)
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * math.sqrt(squares / (n - 1) / n)
    unseen = clopper_pearson(0, values.size, confidence=confidence).high
    low = min(mean - half, value - unseen * (value - bounds[0]))
    high = max(mean + half, value + unseen * (bounds[1] - value))
    return Interval(max(low, bounds[0]), min(high, bounds[1]))


def largest_mean(values: Floats, *, bounds: tuple[float, float], confidence: float = CONFIDENCE) -> Interval:
    """The interval of the largest of M means, whichever that is: of what was largest by luck, too.

    All M intervals hold their means at once (Bonferroni), so the largest mean is above the largest lower limit, and
    below the largest upper one. The scores of one image may depend on each other.

    Args:
        values: (N, M) scores, as for `mean_interval`; M >= 1.
        bounds: the smallest and the largest value that a score can take.
        confidence: share of samples whose interval is to hold the truth.
    """
    each = 1 - (1 - confidence) / values.shape[1]
    lows, highs = zip(*(mean_interval(column, bounds=bounds, confidence=each) for column in values.T), strict=True)
    return Interval(max(lows), max(highs))
