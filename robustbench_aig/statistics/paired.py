"""Two classifiers on the same images: an exact test, and the interval of their difference that speaks as it does."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import scipy  # scipy.stats takes most of a second, and is imported when it's used

from robustbench_aig.statistics.intervals import CONFIDENCE, Interval, clopper_pearson

_SQUARED: Final = 0.99
"""Confidence up to which square and add covers everywhere, as counted."""


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value that two classifiers are right equally often on the same images.

    Args:
        only_first: images that only the first classifier got right.
        only_second: images that only the second got right. Without any such pair the p-value is 1.

    Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 1947; exact form: a fair coin over the discordant pairs.
    """
    discordant = only_first + only_second
    return float(scipy.stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0


# Comparisons, steps and claims of one report ask for the same counts many times.
@lru_cache(maxsize=65536)
def paired_interval(only_first: int, only_second: int, n: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Interval of the difference of two accuracies on the same images; without 0 exactly where `mcnemar` rejects.

    The difference is psi (2 theta - 1): psi of all images are discordant, and of these the first classifier is right
    on theta. Both have exact (Clopper-Pearson) intervals. That of theta inverts the exact McNemar test; a limit lies
    as far from the estimate as the root of the squares of what either leaves open, psi being weighed by what theta
    has at that limit, so that both are 0 together. Counts are whole: a limit that does not stop short of 0 lies half
    an image further. In families of tests, beyond 99 %, the squares of the far limit are too short: there it is the
    product of both limits.

    Args:
        only_first: images that only the first classifier got right.
        only_second: images that only the second got right.
        n: images, at least 1 and at least as many as both.
        confidence: of the interval; McNemar's level is what is left.

    Source: square and add, G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures",
    Statistics in Medicine 27, 2008; C. Clopper and E. Pearson, Biometrika 1934. Its coverage is counted in
    docs/statistics.md.
    """
    # The formula below is for a difference of at least 0.
    if only_first < only_second:
        mirrored = paired_interval(only_second, only_first, n, confidence=confidence)
        return Interval(-mirrored.high, -mirrored.low)
    discordant = only_first + only_second
    psi, value = discordant / n, (only_first - only_second) / n
    share = clopper_pearson(only_first, discordant, confidence=confidence)
    of_all = clopper_pearson(discordant, n, confidence=confidence)
    lowest, highest = 2 * share.low - 1, 2 * share.high - 1
    unsure = psi - of_all.low if lowest > 0 else of_all.high - psi
    low = value - math.hypot(value - psi * lowest, lowest * unsure) - (0.5 / n if lowest < 0 else 0.0)
    ways = (psi * highest - value, highest * (of_all.high - psi))
    high = value + (math.hypot(*ways) if confidence <= _SQUARED else sum(ways)) + 0.5 / n
    if only_first == only_second:
        return Interval(-min(high, 1.0), min(high, 1.0))
    return Interval(max(low, -1.0), min(high, 1.0))
