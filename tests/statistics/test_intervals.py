"""Wilson's interval against its formula, published values and its coverage."""

import math

import pytest

from robustbench_aig.statistics import wilson


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
