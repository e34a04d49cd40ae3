"""Intervals of a share against their formulas, published values and sums over all outcomes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_aig.statistics import Interval, clopper_pearson, wilson


def test_wilson_agrees_with_its_formula() -> None:
    z = 1.959963984540054
    for count, n in [(0, 10), (3, 10), (10, 10), (520, 1000)]:
        p = count / n
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        assert wilson(count, n) == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_wilson_refuses_impossible_counts() -> None:
    with pytest.raises(ValueError, match="must"):
        wilson(11, 10)
    with pytest.raises(ValueError, match="must"):
        wilson(0, 0)


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(count: int, n: int, low: float, high: float) -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion", Stat. Med. 1998, table I, method 3."""
    assert wilson(count, n) == pytest.approx((low, high), abs=5e-5)


def test_less_confidence_is_a_shorter_interval() -> None:
    ninety, usual = wilson(30, 200, confidence=0.9), wilson(30, 200)
    assert usual.low < ninety.low < 0.15 < ninety.high < usual.high


def tail(count: int, n: int, share: float) -> float:
    """How likely at most `count` of n are."""
    return math.fsum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(count + 1))


@given(
    st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([None, 0.5, 0.99])
)
def test_the_exact_limits_leave_half_of_the_error_on_either_side(of: tuple[int, int], confidence: float | None) -> None:
    """By the definition: at a limit so many or more, or so few or fewer, have just that chance."""
    count, n = of
    found = clopper_pearson(count, n) if confidence is None else clopper_pearson(count, n, confidence=confidence)
    error = (1 - (0.95 if confidence is None else confidence)) / 2
    assert count == 0 or 1 - tail(count - 1, n, found.low) == pytest.approx(error, abs=1e-9)
    assert count == n or tail(count, n, found.high) == pytest.approx(error, abs=1e-9)
    assert count > 0 or found.low == 0
    assert count < n or found.high == 1


def test_without_images_any_share_may_be() -> None:
    assert clopper_pearson(0, 0) == (0, 1)


def test_an_interval_excludes_what_lies_outside_and_not_its_ends() -> None:
    found = Interval(-0.25, 0.5)
    asked = (-0.26, -0.25, 0.0, 0.5, 0.51, float("nan"))
    assert [found.excludes(value) for value in asked] == [True, False, False, False, True, True]
