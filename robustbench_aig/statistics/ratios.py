"""A ratio of two means over the same images."""

from __future__ import annotations

from robustbench_aig.statistics.intervals import CONFIDENCE, Floats, Interval
from robustbench_aig.statistics.means import mean_interval


def ratio_interval(
    part: Floats, whole: Floats, *, bounds: tuple[float, float], confidence: float = CONFIDENCE
) -> Interval:
    """Interval of mean(part) / mean(whole): that of the mean residual, part - ratio * whole, over mean(whole).

    Args:
        part: (N,) what was reached of the whole, N >= 1.
        whole: (N,) paired with it; of a mean above 0.
        bounds: the smallest and the largest residual that an image can have.
        confidence: share of samples whose interval is to hold the truth.

    Source: W. G. Cochran, "Sampling Techniques", 1977, section 6.4 (the ratio estimate and its variance).
    """
    of, ratio = float(whole.mean()), float(part.mean() / whole.mean())
    low, high = mean_interval(part - ratio * whole, bounds=bounds, confidence=confidence)
    return Interval(ratio + low / of, ratio + high / of)
