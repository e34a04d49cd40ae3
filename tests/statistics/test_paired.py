"""Paired tests and intervals against enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom, binomtest

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


def limits(count: int, n: int, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson by quantiles of the beta distribution."""
    error = (1 - confidence) / 2
    low = beta.ppf(error, count, n - count + 1) if count else 0.0
    return float(low), float(beta.isf(error, count + 1, n - count)) if count < n else 1.0


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99, 0.991, 0.999])
@pytest.mark.parametrize(
    ("b", "c", "n"),
    [(30, 10, 100), (30, 28, 100), (12, 0, 50), (1, 0, 1), (3, 0, 9), (2, 1, 3), (40, 5, 45), (6, 5, 900)],
)
def test_square_and_add_written_out(b: int, c: int, n: int, confidence: float) -> None:
    """Of b > c: what is left open of their share, and of how they are parted; up to 99 % by squares."""
    value, psi = (b - c) / n, (b + c) / n
    of_parts, of_all = limits(b, b + c, confidence), limits(b + c, n, confidence)
    worst, best = (2 * share - 1 for share in of_parts)
    certain = worst > 0
    below = ((value - psi * worst) ** 2 + (worst * (psi - of_all[0] if certain else of_all[1] - psi)) ** 2) ** 0.5
    low = value - below - (0 if certain else 0.5 / n)
    parts = psi * best - value, best * (of_all[1] - psi)
    high = value + ((parts[0] ** 2 + parts[1] ** 2) ** 0.5 if confidence <= 0.99 else parts[0] + parts[1]) + 0.5 / n
    expected = (max(low, -1), min(high, 1))
    assert paired_interval(b, c, n, confidence=confidence) == pytest.approx(expected)
    assert confidence != 0.95 or paired_interval(b, c, n) == pytest.approx(expected)


def test_equal_counts_have_an_interval_around_zero() -> None:
    for b, n in ((0, 1), (1, 2), (5, 10), (7, 1000)):
        found = paired_interval(b, b, n)
        assert found.low == -found.high
        assert 0 < found.high <= 1
    assert paired_interval(0, 0, 1) == (-1, 1)
    assert paired_interval(1, 1, 2) == (-1, 1)
