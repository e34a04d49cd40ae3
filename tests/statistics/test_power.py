"""Power against enumeration of all outcomes, published sample sizes and simulation."""

import itertools
import math
from functools import cache

import numpy as np
import pytest

from robustbench_aig.statistics import (
    connor_power,
    detectable_difference,
    fewest_images,
    images_needed,
    mcnemar,
    mcnemar_power,
)


@pytest.mark.parametrize("n", [6, 7, 8])
@pytest.mark.parametrize(("discordant", "difference"), [(1.0, 1.0), (1.0, 0.6), (0.8, 0.8), (0.7, 0.3), (0.5, 0.0)])
def test_power_is_the_sum_over_all_outcomes(n: int, discordant: float, difference: float) -> None:
    """Every image is won by the better, by the worse, or by neither."""
    likely = {1: (discordant + difference) / 2, -1: (discordant - difference) / 2, 0: 1 - discordant}
    p_value, expected = cache(mcnemar), 0.0
    for outcome in itertools.product((1, -1, 0), repeat=n):
        won, lost = outcome.count(1), outcome.count(-1)
        if won > lost and p_value(won, lost) < 0.05:
            expected += math.prod(likely[one] for one in outcome)
    assert mcnemar_power(n, discordant, difference) == pytest.approx(expected, abs=1e-9)


def test_the_exact_test_keeps_its_level() -> None:
    for n in (20, 200, 2000):
        assert 0.001 < mcnemar_power(n, 0.2, 0.0) <= 0.025


def test_connors_sample_size() -> None:
    """A worked example after Connor's page 209: 45 % against 5 % need 23 pairs."""
    assert connor_power(22, 0.5, 0.4) < 0.8 <= connor_power(23, 0.5, 0.4)


def test_the_normal_power_nears_the_exact_one() -> None:
    for n, apart in ((200, 0.06), (2000, 0.02), (20000, 0.006)):
        difference = 2.8 * math.sqrt(0.1 / n)
        assert abs(mcnemar_power(n, 0.1, difference) - connor_power(n, 0.1, difference)) < apart


@pytest.mark.parametrize("n", [6, 9, 30, 100, 1000, 10_000])
@pytest.mark.parametrize("discordant", [0.0, 0.001, 0.02, 0.1, 0.4, 1.0])
def test_what_is_detectable_is_seen_four_times_in_five(n: int, discordant: float) -> None:
    found = detectable_difference(n, discordant)
    assert found is not None
    assert mcnemar_power(n, max(discordant, found), found) == pytest.approx(0.8, abs=1e-3)
    rough = detectable_difference(n, discordant, exact=False)
    assert rough is not None
    assert connor_power(n, max(discordant, rough), rough) == pytest.approx(0.8, abs=1e-3)
    assert rough < found or (n < 10 and discordant == 1)


def test_without_discordant_images_hardly_less_than_eight_would_have_been_seen() -> None:
    assert detectable_difference(1000, 0.0) == pytest.approx(7.9 / 1000, rel=0.01)
    assert detectable_difference(5, 0.5) is None


def test_scores_that_are_shares_are_seen_by_their_spread() -> None:
    """Differences of -0.3, 0.1 and 0.4: at the mean that is detectable, a z test finds four of five."""
    rng = np.random.default_rng(0)
    steps, count, trials = np.array([-0.3, 0.1, 0.4]), 400, 4000
    chances = np.array([0.39, 0.35, 0.26])
    difference = float(chances @ steps)
    found = detectable_difference(count, float(chances @ steps**2), exact=False)
    assert found is not None
    # Moves weight from the lower to the upper step, which leaves the mean square nearly as it is.
    moved = (found - difference) / 0.7
    chances += [-moved, 0, moved]
    each = rng.choice(steps, (trials, count), p=chances)
    z = each.mean(axis=1) / (each.std(axis=1) / math.sqrt(count))
    assert np.mean(z > 1.96) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("difference", "discordant"), [(0.01, 0.1), (0.02, 0.1), (0.05, 0.05), (0.4, 0.5), (1.0, 1.0)])
def test_as_many_images_as_needed_and_no_more(difference: float, discordant: float) -> None:
    n = images_needed(difference, discordant)
    assert mcnemar_power(n, discordant, difference) >= 0.8
    assert mcnemar_power(int(0.97 * n) - 1, discordant, difference) < 0.8
    if n > 50:
        assert detectable_difference(n, discordant) == pytest.approx(difference, rel=0.01)


def test_impossible_differences_are_refused() -> None:
    for difference, discordant in ((0.2, 0.1), (-0.1, 0.1), (0.1, 1.1), (0.0, 0.0)):
        for power in (mcnemar_power, connor_power):
            with pytest.raises(ValueError, match="difference"):
                power(100, discordant, difference)
    with pytest.raises(ValueError, match="difference of 0"):
        images_needed(0.0, 0.1)


@pytest.mark.parametrize("margin", [0.01, 0.05, 0.1, 0.5])
def test_fewer_images_leave_room_for_the_margin(margin: float) -> None:
    """A share of `margin` is missed by all n images with a chance of (1 - margin)^n; 2.5 % is what a side may err."""
    n = fewest_images(margin)
    assert (1 - margin) ** n <= 0.025 < (1 - margin) ** (n - 1)
    for wrong in (0, 1):
        with pytest.raises(ValueError, match="margin"):
            fewest_images(wrong)


@pytest.mark.parametrize("level", [1 / 16, 0.2])
@pytest.mark.parametrize("n", [5, 8])
def test_another_level_is_the_sum_over_all_outcomes_too(n: int, level: float) -> None:
    """At 1/16 five images on one side are just enough: p is 2 / 32, and no more than the level."""
    p_value, expected = cache(mcnemar), 0.0
    for outcome in itertools.product((1, -1, 0), repeat=n):
        won, lost = outcome.count(1), outcome.count(-1)
        if won > lost and p_value(won, lost) <= level + 1e-12:
            expected += math.prod({1: 0.6, -1: 0.2, 0: 0.2}[one] for one in outcome)
    assert mcnemar_power(n, 0.8, 0.4, level=level) == pytest.approx(expected, abs=1e-9)


def test_connors_formula_written_out() -> None:
    for n, discordant, difference, level, z in ((100, 0.3, 0.1, 0.05, 1.959964), (50, 0.2, 0.15, 0.1, 1.644854)):
        deviations = (difference * n**0.5 - z * discordant**0.5) / (discordant - difference**2) ** 0.5
        expected = (1 + math.erf(deviations / 2**0.5)) / 2
        assert connor_power(n, discordant, difference, level=level) == pytest.approx(expected, abs=1e-6)
    assert connor_power(100, 0.3, 0.1) == connor_power(100, 0.3, 0.1, level=0.05)
    # Where every image is a gain nothing is left to chance, and 1.96 squared is the number that it takes.
    assert [connor_power(n, 1.0, 1.0) for n in (3, 4)] == [0.0, 1.0]


def test_what_could_just_be_is_not_refused() -> None:
    for difference, discordant in ((0.0, 0.1), (0.1, 0.1), (1.0, 1.0), (0.0, 1.0)):
        for power in (mcnemar_power, connor_power):
            assert 0 <= power(100, discordant, difference) <= 1
    assert mcnemar_power(5, 1.0, 1.0) == 0 < mcnemar_power(6, 1.0, 1.0) == 1


def test_what_is_detectable_is_by_the_exact_test_where_nothing_is_said() -> None:
    found = detectable_difference(200, 0.1)
    assert found == detectable_difference(200, 0.1, exact=True) != detectable_difference(200, 0.1, exact=False)
