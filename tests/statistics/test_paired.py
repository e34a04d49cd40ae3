"""Paired tests and intervals against enumeration."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_aig.statistics import bootstrap_difference, mcnemar


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_twice_the_smaller_tail_of_a_fair_coin(b: int, c: int) -> None:
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    assert mcnemar(b, c) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(b, c) == mcnemar(c, b)


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


@pytest.mark.parametrize("discordant", range(1, 11))
def test_mcnemar_is_the_share_of_coin_tosses_that_are_as_uneven(discordant: int) -> None:
    tosses = [abs(sum(toss)) for toss in itertools.product((-1, 1), repeat=discordant)]
    for only_first in range(discordant + 1):
        uneven = abs(2 * only_first - discordant)
        assert mcnemar(only_first, discordant - only_first) == pytest.approx(np.mean(np.array(tosses) >= uneven))


def test_90_percent_are_a_shorter_interval() -> None:
    first = np.random.default_rng(0).random(500)
    usual = bootstrap_difference(first, first[::-1], seed=0)
    ninety = bootstrap_difference(first, first[::-1], seed=0, confidence=0.9)
    assert (ninety.high - ninety.low) / (usual.high - usual.low) == pytest.approx(1.645 / 1.96, rel=0.03)
