"""Paired tests and intervals against enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from robustbench_aig.statistics import mcnemar, paired_interval


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_twice_the_smaller_tail_of_a_fair_coin(b: int, c: int) -> None:
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    assert mcnemar(b, c) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(b, c) == mcnemar(c, b)


@pytest.mark.parametrize("discordant", range(1, 11))
def test_mcnemar_is_the_share_of_coin_tosses_that_are_as_uneven(discordant: int) -> None:
    tosses = [abs(sum(toss)) for toss in itertools.product((-1, 1), repeat=discordant)]
    for only_first in range(discordant + 1):
        uneven = abs(2 * only_first - discordant)
        assert mcnemar(only_first, discordant - only_first) == pytest.approx(np.mean(np.array(tosses) >= uneven))


LEVELS = (0.1, 0.05, 0.01, 0.05 / 15, 0.05 / 500)
COUNTS = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 9000)).filter(lambda c: sum(c) > 0)


@given(COUNTS, st.sampled_from(LEVELS))
def test_the_interval_excludes_zero_exactly_where_the_exact_test_rejects(
    counts: tuple[int, int, int], level: float
) -> None:
    b, c, rest = counts
    found = paired_interval(b, c, b + c + rest, confidence=1 - level)
    assert found.excludes(0) == (mcnemar(b, c) < level)
    assert -1 <= found.low <= (b - c) / (b + c + rest) <= found.high <= 1
    mirrored = paired_interval(c, b, b + c + rest, confidence=1 - level)
    assert mirrored == (-found.high, -found.low)


@pytest.mark.parametrize("level", LEVELS)
def test_so_it_does_at_the_least_and_the_most_that_the_test_takes_for_chance(level: float) -> None:
    """On both sides of the border, which drawn counts seldom meet."""
    for m in range(1, 400):
        critical = int(binom.ppf(level / 2, m, 0.5))
        for c in {max(critical - 1, 0), critical, min(critical + 1, m)}:
            assert paired_interval(m - c, c, 2000, confidence=1 - level).excludes(0) == (mcnemar(m - c, c) < level)


def test_without_discordant_images_it_leaves_what_could_be_unseen() -> None:
    low, high = paired_interval(0, 0, 368)
    assert low == -high
    assert high == pytest.approx(1 - 0.025 ** (1 / 368) + 0.5 / 368)


def test_all_on_one_side_it_ends_at_the_exact_limit_of_a_share() -> None:
    """The half image apart: no more than that share of images can be gained."""
    found = paired_interval(30, 0, 100)
    assert found.high == pytest.approx(binomtest(30, 100).proportion_ci(method="exact").high + 0.005)
    assert found.low < binomtest(30, 100).proportion_ci(method="exact").low


def test_many_images_are_as_by_the_normal_distribution() -> None:
    """Wald's interval, whose variance is psi - delta^2."""
    found = paired_interval(30_000, 10_000, 100_000)
    half = 1.95996 * np.sqrt((0.4 - 0.2**2) / 100_000)
    assert found == pytest.approx((0.2 - half, 0.2 + half), abs=1e-4)


def test_90_percent_are_a_shorter_interval() -> None:
    usual, ninety = paired_interval(60, 50, 1000), paired_interval(60, 50, 1000, confidence=0.9)
    assert (ninety.high - ninety.low) / (usual.high - usual.low) == pytest.approx(1.645 / 1.96, rel=0.03)
