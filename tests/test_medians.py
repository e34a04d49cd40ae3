"""Medians between order statistics, against all ways in which values can fall."""

import itertools
import random

import pytest

from robustbench_aig.medians import coverage, interval_rank, median_with_interval


@pytest.mark.parametrize("count", range(1, 14))
def test_coverage_is_that_of_all_ways_to_fall_around_the_median(count: int) -> None:
    """Every value is above or below the true median with equal chance: count the patterns that enclose it."""
    patterns = [sum(pattern) for pattern in itertools.product((0, 1), repeat=count)]
    for rank in range(1, (count + 1) // 2 + 1):
        enclosing = sum(rank <= above <= count - rank for above in patterns)
        assert coverage(count, rank) == enclosing / 2**count


@pytest.mark.parametrize(("count", "rank"), [(6, 1), (8, 1), (9, 2), (12, 3), (20, 6), (25, 8), (50, 18), (100, 40)])
def test_ranks_are_those_of_the_sign_test(count: int, rank: int) -> None:
    """One more than its critical value, two-sided at 5 %, as tables print it."""
    assert interval_rank(count) == rank
    assert coverage(count, rank) >= 0.95 > coverage(count, rank + 1)


def test_nine_values_give_their_second_and_eighth() -> None:
    values = list(range(1, 10))
    random.Random(0).shuffle(values)
    found = median_with_interval(values)
    assert (found.median, found.low, found.high) == (5, 2, 8)
    assert coverage(9, 2) == 1 - 20 / 512
    with pytest.raises(ValueError, match="at least six"):
        median_with_interval(values[:5])


def test_intervals_enclose_a_skewed_median_as_often_as_they_say() -> None:
    draw, hits = random.Random(0), 0
    for _ in range(2000):
        found = median_with_interval([draw.expovariate(1) for _ in range(9)])
        hits += found.low <= 0.6931 <= found.high
    assert hits / 2000 == pytest.approx(coverage(9, 2), abs=0.015)
