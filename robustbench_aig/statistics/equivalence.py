"""Whether a difference is too small to matter, which "no difference was found" does not say."""

from __future__ import annotations

from typing import Final, Literal

from robustbench_aig.statistics.intervals import Interval

MARGIN: Final = 0.01
"""One point: a smaller difference of accuracies is called none."""

EQUIVALENCE_CONFIDENCE: Final = 0.90
"""Of the interval that has to lie within the margin: two one-sided tests at 5 % each."""

Equivalence = Literal["equivalent", "different", "different but within the margin", "undecided"]


def equivalence_of(within: Interval, *, differs: bool, margin: float = MARGIN) -> Equivalence:
    """What a difference amounts to, from two one-sided tests against `margin` and one test against zero.

    Args:
        within: interval of the paired difference, in shares, of `EQUIVALENCE_CONFIDENCE`. If it lies inside ±margin,
            both one-sided tests reject at 5 % (TOST).
        differs: whether the test of the difference against zero rejects.
        margin: in shares, above 0.

    Returns:
        "equivalent": inside the margin, and not significantly different from zero. "different but within the margin":
        significantly different, and yet small. "different": significantly, and maybe by much. "undecided": too few
        images to say either.

    Raises:
        ValueError: if margin is not above 0.

    Source: D. J. Schuirmann, "A comparison of the two one-sided tests procedure and the power approach …",
    J. Pharmacokinet. Biopharm. 15, 1987.
    """
    if not margin > 0:
        raise ValueError(f"a margin must be above 0: {margin}")
    small = -margin < within.low and within.high < margin
    if small:
        return "different but within the margin" if differs else "equivalent"
    return "different" if differs else "undecided"
