"""What few seeds cannot carry: every number in the words against enumeration, tables or simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

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
    assert "no interval" not in cannot_carry(3)[0]
    assert len(cannot_carry(29)) == 3
    assert cannot_carry(30) == cannot_carry(31) == ()
    with pytest.raises(ValueError, match="no number of seeds"):
        cannot_carry(0)


@pytest.mark.parametrize("seeds", [2, 3, 4, 10, 25])
def test_any_number_of_seeds_by_the_distributions(seeds: int) -> None:
    """Against scipy.stats, which the functions do without."""
    student = stats.t.ppf(0.975, seeds - 1)
    assert half_width(seeds) == pytest.approx(student / seeds**0.5)
    assert interval_factor(seeds) == pytest.approx(student / stats.norm.ppf(0.975))
    expected = [((seeds - 1) / stats.chi2.ppf(q, seeds - 1)) ** 0.5 for q in (0.975, 0.025)]
    assert spread_factors(seeds) == pytest.approx(expected)
    assert stats.nct.sf(student, seeds - 1, detectable_spreads(seeds) * seeds**0.5) == pytest.approx(0.8)


def test_one_sentence_for_each_thing_that_few_seeds_leave_open() -> None:
    assert [len(cannot_carry(seeds)) for seeds in (1, 2, 3, 5, 6)] == [1, 1, 4, 4, 3]
