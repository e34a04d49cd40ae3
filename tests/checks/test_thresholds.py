"""The rule that turns a count into a status, against its own words and against simulation."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_aig.checks import ALL, Limits, exact
from robustbench_aig.checks.thresholds import percent

LIMITS = Limits(0.02, 0.1)


def tail(n: int, share: float, counts: range) -> float:
    """How likely so many of n images are, by the binomial formula."""
    return math.fsum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in counts)


@given(st.integers(1, 120), st.data())
def test_the_interval_is_that_of_clopper_and_pearson(n: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, n))
    low, high = exact(count, n)
    if count:
        assert tail(n, low, range(count, n + 1)) == pytest.approx(0.025, rel=1e-3)
    else:
        assert low == 0
    if count < n:
        assert tail(n, high, range(count + 1)) == pytest.approx(0.025, rel=1e-3)
    else:
        assert high == 1


@given(st.integers(0, 400), st.data())
def test_the_rule_in_its_own_words(n: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, n))
    verdict = LIMITS.verdict(count, n)
    low, high = exact(count, n)
    share = count / n if n else math.nan
    expected = {
        "pass": share <= 0.02 and high <= 0.1,
        "fail": share > 0.1 and low > 0.02,
        "n/a": low <= 0.02 and high > 0.1,
    }
    assert sum(expected.values()) <= 1
    assert verdict.status == next((status for status, holds in expected.items() if holds), "warn")
    assert verdict.share == (share if n else None)


def test_without_images_nothing_is_said() -> None:
    for limits in (LIMITS, Limits(0, 0.05, strict=True), Limits(0.02, 0.1, mild=True)):
        assert limits.verdict(0, 0).status == "n/a"


@pytest.mark.parametrize("limits", sorted({check.limits for check in ALL if check.limits.unit == "images"}, key=str))
def test_needs_is_the_fewest_images_of_a_pass(limits: Limits) -> None:
    assert limits.verdict(0, limits.needs).status == "pass"
    assert limits.verdict(0, limits.needs - 1).status == "n/a"


def test_a_single_image_breaks_a_strict_limit() -> None:
    strict = Limits(0, 0.05, strict=True)
    assert strict.verdict(1, 10_000).status == strict.verdict(1, 1).status == "fail"
    assert strict.verdict(0, 10_000).status == "pass"


def test_a_mild_limit_warns_at_worst() -> None:
    mild = Limits(0.02, 0.1, mild=True)
    assert {mild.verdict(count, 100).status for count in range(101)} == {"pass", "n/a", "warn"}


@pytest.mark.parametrize(("warn", "fail"), [(0.2, 0.1), (-0.1, 0.1), (0, 0), (0.1, 1.0)])
def test_thresholds_that_cannot_be_meant(warn: float, fail: float) -> None:
    with pytest.raises(ValueError, match="must rise"):
        Limits(warn, fail)


def test_a_strict_limit_with_a_tolerance_cannot_be_meant() -> None:
    with pytest.raises(ValueError, match="begins at 0"):
        Limits(0.1, 0.2, strict=True)


def test_more_of_the_defect_is_never_better() -> None:
    order = {"pass": 0, "n/a": 1, "warn": 1, "fail": 2}
    for n in (20, 96):
        statuses = [order[LIMITS.verdict(count, n).status] for count in range(n + 1)]
        assert statuses == sorted(statuses)


def test_a_true_pass_rarely_fails_and_a_true_fail_rarely_passes() -> None:
    """The share at the other region's end is excluded by a two-sided 95 % interval: at most 2.5 % each."""
    n = 96
    failing = [count for count in range(n + 1) if LIMITS.verdict(count, n).status == "fail"]
    passing = [count for count in range(n + 1) if LIMITS.verdict(count, n).status == "pass"]
    assert tail(n, LIMITS.warn, range(failing[0], n + 1)) <= 0.025
    assert tail(n, LIMITS.fail, range(passing[-1] + 1)) <= 0.025


def test_words() -> None:
    assert str(LIMITS) == "pass up to 2 % of images, fail above 10 %"
    assert str(Limits(0.02, 0.1, mild=True)) == "pass up to 2 % of images, warn above 10 %"
    assert "a single image" in str(Limits(0, 0.05, strict=True))
    assert percent(0.0153) == "1.53 %"
