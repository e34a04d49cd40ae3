import itertools
import math
import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from robustbench_aig.statistics import (
    bootstrap_difference,
    bootstrap_mean,
    coverage,
    interval_rank,
    mcnemar,
    median_with_interval,
    wilson,
)


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


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_twice_the_smaller_tail_of_a_fair_coin(b: int, c: int) -> None:
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    assert mcnemar(b, c) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(b, c) == mcnemar(c, b)


def test_bootstrap_agrees_with_scipys_bca() -> None:
    values = np.random.default_rng(0).binomial(10, 0.2, 200) / 10
    reference = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert bootstrap_mean(values, seed=2) == pytest.approx(tuple(reference), abs=2e-3)


def test_bootstrap_is_reproducible() -> None:
    values = np.random.default_rng(0).random(50)
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


def test_bootstrap_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        low, high = bootstrap_mean(rng.binomial(5, 0.3, 80) / 5, seed=trial, resamples=1000)
        hits += low <= 0.3 <= high
    assert 0.91 <= hits / 300 <= 0.985


def test_equal_scores_do_not_claim_certainty() -> None:
    low, high = bootstrap_mean(np.zeros(100), seed=0)
    assert low == 0
    assert high == pytest.approx(wilson(0, 100).high)
    assert bootstrap_mean(np.ones(100), seed=0) == pytest.approx((wilson(100, 100).low, 1.0))
    same = np.full(100, 0.4)
    low, high = bootstrap_difference(same, same, seed=0)
    assert low == -high < 0


def test_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(400).round(1)
    low, high = bootstrap_difference(hard, hard - 0.1 * (rng.random(400) < 0.5), seed=1)
    assert 0.03 < low < 0.05 < high < 0.07


def test_ten_thousand_images_take_well_under_a_second() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.binomial(10, 0.3, 10_000) / 10, rng.binomial(1, 0.3, 10_000).astype(float)
    start = time.perf_counter()
    low, high = bootstrap_difference(first, second, seed=1)
    assert time.perf_counter() - start < 1
    spread = 1.96 * np.std(first - second) / 100
    assert high - low == pytest.approx(2 * spread, rel=0.05)


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
