"""Equivalence: what is said, and how often it is said wrongly."""

import pytest
from scipy.stats import multinomial

from robustbench_aig.statistics import EQUIVALENCE_CONFIDENCE, Interval, equivalence_of, paired_interval


@pytest.mark.parametrize(
    ("low", "high", "differs", "verdict"),
    [
        (-0.004, 0.006, False, "equivalent"),
        (0.001, 0.006, True, "different but within the margin"),
        (0.004, 0.016, True, "different"),
        (0.02, 0.03, True, "different"),
        (-0.004, 0.016, False, "undecided"),
        (-0.016, 0.004, False, "undecided"),
        (-0.01, 0.0, False, "undecided"),
        (0.0, 0.01, False, "undecided"),
        (-0.0099, 0.0099, False, "equivalent"),
    ],
)
def test_verdicts(low: float, high: float, differs: bool, verdict: str) -> None:
    assert equivalence_of(Interval(low, high), differs=differs) == verdict


@pytest.mark.parametrize("margin", [0.0, -0.01, float("nan")])
def test_a_margin_is_above_zero(margin: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        equivalence_of(Interval(-1, 1), differs=False, margin=margin)


def test_the_margin_is_a_point_where_nothing_else_is_said() -> None:
    for margin, verdict in ((0.03, "undecided"), (0.031, "equivalent")):
        assert equivalence_of(Interval(-0.03, 0.02), differs=False, margin=margin) == verdict
    assert equivalence_of(Interval(0.0, 0.0099), differs=False) == "equivalent"


def small(n: int, only_first: int, only_second: int) -> bool:
    within = paired_interval(only_first, only_second, n, confidence=EQUIVALENCE_CONFIDENCE)
    return equivalence_of(within, differs=False) == "equivalent"


@pytest.mark.parametrize(("n", "discordant"), [(500, 0.0101), (1000, 0.02)])
def test_a_difference_of_one_point_passes_as_less_no_more_than_5_times_in_100(n: int, discordant: float) -> None:
    """Over all outcomes but the rarest, at a true difference that is the margin."""
    shares = [(discordant + 0.01) / 2, (discordant - 0.01) / 2]
    wrong = 0.0
    for only_first in range(41):
        for only_second in range(21):
            likely = float(
                multinomial.pmf([only_first, only_second, n - only_first - only_second], n, [*shares, 1 - sum(shares)])
            )
            if likely > 1e-6 and abs(only_first - only_second) < 0.01 * n:
                wrong += likely * small(n, only_first, only_second)
    assert 0.005 < wrong <= 0.05
