"""What few seeds cannot carry: every number in the words against enumeration, tables or simulation."""

import itertools
import math

import numpy as np
import pytest

from robustbench_aig.statistics import cannot_carry
from robustbench_aig.statistics.few_seeds import (
    detectable_spreads,
    half_width,
    interval_factor,
    smallest_permutation_p,
    smallest_sign_p,
    spread_factors,
)


@pytest.mark.parametrize("seeds", range(2, 9))
def test_the_smallest_p_is_that_of_the_most_extreme_signs(seeds: int) -> None:
    values = np.arange(1, seeds + 1) / 10
    means = [abs(np.dot(signs, values)) for signs in itertools.product((-1, 1), repeat=seeds)]
    assert smallest_sign_p(seeds) == np.mean(np.array(means) >= values.sum() - 1e-12)


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_the_smallest_p_is_that_of_the_most_extreme_split(seeds: int) -> None:
    pooled = np.arange(2 * seeds)
    found = [
        abs(pooled[list(one)].mean() - np.delete(pooled, one).mean())
        for one in itertools.combinations(range(2 * seeds), seeds)
    ]
    assert smallest_permutation_p(seeds) == pytest.approx(np.mean(np.array(found) >= seeds - 1e-12))


def test_three_seeds_by_the_tables() -> None:
    """t(2) = 4.303 and chi^2(2) = 0.0506 and 7.378 at 95 %."""
    assert half_width(3) == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    assert interval_factor(3) == pytest.approx(4.303 / 1.960, rel=1e-3)
    assert spread_factors(3) == pytest.approx((math.sqrt(2 / 7.378), math.sqrt(2 / 0.0506)), rel=1e-3)


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_detectable_difference_is_found_four_times_in_five(seeds: int) -> None:
    values = np.random.default_rng(0).normal(detectable_spreads(seeds), 1, (20_000, seeds))
    half = half_width(seeds) * values.std(axis=1, ddof=1)
    assert np.mean(values.mean(axis=1) > half) == pytest.approx(0.8, abs=0.01)


def test_words() -> None:
    three = " ".join(cannot_carry(3))
    for said in ("2.20 times", "2.48 standard deviations", "below 3.3", "0.52 and 6.28", "p of 0.25", "pairs 0.1)"):
        assert said in three
    assert not any("free of assumptions" in one for one in cannot_carry(6))
    assert any("free of assumptions" in one for one in cannot_carry(5))
    assert "no interval" in cannot_carry(2)[0]
    assert "One seed" in cannot_carry(1)[0]
    assert cannot_carry(30) == ()
    with pytest.raises(ValueError, match="no number of seeds"):
        cannot_carry(0)
