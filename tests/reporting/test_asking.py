"""Accuracy against an attacker who may ask several times, against every choice of draws."""

import itertools
import math

import numpy as np
import pytest

from robustbench_aig.records import EXACT
from robustbench_aig.reporting.accuracy import Scores, accuracy

ANSWERS = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 0]])


def scores(answers: np.ndarray) -> Scores:
    images, draws = answers.shape
    right = answers.sum(1)
    return Scores(np.ones(images, bool), right, np.full(images, draws), 2 * right > draws)


def test_counts_stand_for_all_sets_of_draws() -> None:
    found = accuracy(scores(ANSWERS))
    assert found.when_asked is not None
    assert sorted(found.when_asked) == [1, 2, 3, 5]  # ten of five draws can't be had
    for times, value in found.when_asked.items():
        sets = [ANSWERS[:, chosen].all(1) for chosen in map(list, itertools.combinations(range(5), times))]
        assert value == pytest.approx(np.mean(sets))
    assert found.when_asked[1] == pytest.approx(found.value)
    assert found.when_asked[5] == found.all_right


def test_it_is_unbiased() -> None:
    """The mean over all that ten draws can turn out to be is q^k."""
    q, draws = 0.8, 10
    right = np.arange(draws + 1)
    chance = np.array([math.comb(draws, n) * q**n * (1 - q) ** (draws - n) for n in range(draws + 1)])
    counted = Scores(np.ones(right.size, bool), right, np.full(right.size, draws), 2 * right > draws)
    for times in (1, 2, 3, 5, 10):
        assert chance @ counted.when_asked(times) == pytest.approx(q**times)


def test_exact_probabilities_are_multiplied() -> None:
    q = np.array([1.0, 0.9, 0.25, 0.0])
    ones = np.ones(4, np.int64)
    found = accuracy(Scores(ones.astype(bool), q, ones, q > 0.5, exact=True))
    assert found.value == pytest.approx(q.mean())
    assert found.draws == EXACT
    assert found.when_asked == pytest.approx({k: (q**k).mean() for k in (1, 2, 3, 5, 10)})
    assert (found.majority, found.all_right, found.any_right, found.count) == (0.5, None, None, None)
    assert found.low < found.value < found.high


def test_nobody_asks_a_deterministic_network_twice() -> None:
    assert accuracy(scores(ANSWERS[:, :1])).when_asked is None
