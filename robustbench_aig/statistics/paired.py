"""Two classifiers on the same images: an exact test, and an interval of their difference."""

from __future__ import annotations

from scipy.stats import binomtest

from robustbench_aig.statistics.bootstrap import RESAMPLES, bootstrap_mean
from robustbench_aig.statistics.intervals import CONFIDENCE, Floats, Interval


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


def bootstrap_difference(
    first: Floats, second: Floats, *, seed: int, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Interval:
    """BCa bootstrap interval of mean(first - second), paired: images are resampled, not the two scores.

    Args:
        first: (N,) scores in [0, 1].
        second: (N,) scores in [0, 1] of the same images.
        seed: of the resampling.
        resamples: number of bootstrap samples.
        confidence: share of samples whose interval is to hold the truth.

    Source: B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 14.
    """
    return bootstrap_mean(first - second, seed=seed, bounds=(-1.0, 1.0), resamples=resamples, confidence=confidence)
