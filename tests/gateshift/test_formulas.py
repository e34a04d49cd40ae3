"""Every formula against loops in plain Python, and against what it must mean."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustbench_aig.gateshift import paths
from robustbench_aig.gateshift.arrays import Bools, Floats
from robustbench_aig.gateshift.expected_macs import expected_macs
from robustbench_aig.gateshift.flips import flipped, overlap
from robustbench_aig.gateshift.shift import corrected, divergence, noise_of_mean

probabilities = st.floats(0, 1)
few = st.lists(st.tuples(probabilities, probabilities), min_size=1, max_size=3)
decisions = arrays(np.bool_, st.tuples(st.integers(1, 8), st.integers(1, 11)))


def likelihood(bits: tuple[int, ...], p: list[float]) -> float:
    return math.prod(q if bit else 1 - q for bit, q in zip(bits, p, strict=True))


def hamming_of_draws(p: list[float], q: list[float]) -> float:
    """The expected Hamming distance of two independent draws, over every pair of draws that there is."""
    patterns = list(product((0, 1), repeat=len(p)))
    return sum(
        likelihood(one, p) * likelihood(other, q) * sum(a != b for a, b in zip(one, other, strict=True))
        for one in patterns
        for other in patterns
    )


@given(few)
def test_the_corrected_shift_is_what_two_draws_differ_in_beyond_their_own_noise(
    gates: list[tuple[float, float]],
) -> None:
    p, q = ([pair[side] for pair in gates] for side in (0, 1))
    excess = hamming_of_draws(p, q) - hamming_of_draws(p, p) / 2 - hamming_of_draws(q, q) / 2
    change = np.array([[b - a for a, b in gates]])
    assert corrected(change, change).sum() == pytest.approx(excess, abs=1e-12)


def test_two_draws_of_one_image_differ_but_are_no_shift() -> None:
    assert hamming_of_draws([0.5, 0.3], [0.5, 0.3]) == pytest.approx(2 * 0.25 + 2 * 0.21)
    assert corrected(np.zeros((1, 2)), np.zeros((1, 2))).sum() == 0


class TwoGates:
    """A network whose second gate sees whether the first block ran."""

    def __init__(self, first: float, closed: float, opened: float) -> None:
        self.first, self.second = first, (closed, opened)

    def draws(self) -> list[tuple[float, tuple[int, int]]]:
        """Every path with its likelihood."""
        return [
            ((self.first if a else 1 - self.first) * (self.second[a] if b else 1 - self.second[a]), (a, b))
            for a, b in product((0, 1), repeat=2)
        ]

    def along(self, noise: float) -> Floats:
        """The open probabilities along the path of a draw, whose first gate has this noise."""
        return np.array([self.first, self.second[int(noise < self.first)]])

    @property
    def marginal(self) -> Floats:
        """How often each gate is open."""
        return np.array([sum(weight for weight, path in self.draws() if path[gate]) for gate in (0, 1)])


CLEAN, ATTACKED = TwoGates(0.8, 0.1, 0.9), TwoGates(0.5, 0.2, 0.8)


def test_gates_that_depend_on_each_other_have_the_same_identity() -> None:
    def distance(one: TwoGates, other: TwoGates) -> float:
        return sum(
            u * v * sum(a != b for a, b in zip(path, way, strict=True))
            for u, path in one.draws()
            for v, way in other.draws()
        )

    excess = distance(CLEAN, ATTACKED) - distance(CLEAN, CLEAN) / 2 - distance(ATTACKED, ATTACKED) / 2
    assert excess == pytest.approx(((ATTACKED.marginal - CLEAN.marginal) ** 2).sum())


def test_two_sets_of_draws_are_unbiased_where_one_is_not() -> None:
    """Over all noises of a first gate that both versions share, for one draw in each set."""
    noises = (np.arange(200) + 0.5) / 200
    changes = np.stack([ATTACKED.along(noise) - CLEAN.along(noise) for noise in noises])
    true = (ATTACKED.marginal - CLEAN.marginal) ** 2
    every_pair = corrected(np.repeat(changes, len(changes), axis=0), np.tile(changes, (len(changes), 1)))
    assert every_pair.mean(axis=0) == pytest.approx(true)
    along_one = (changes**2).mean(axis=0)
    assert along_one[0] == pytest.approx(true[0])
    assert along_one[1] > true[1] + 0.05


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_the_noise_of_draws_is_not_underestimated(shared: float) -> None:
    """Means over ten images that nothing moved, with gates whose errors are alike, and with others."""
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(2, 4000, 10, 6)) * (1 - shared) + rng.normal(size=(2, 4000, 10, 1)) * shared
    means = [corrected(one, other).sum(axis=1).mean() for one, other in zip(*errors, strict=True)]
    claimed = fmean(noise_of_mean(one, other) ** 2 for one, other in zip(*errors, strict=True))
    assert np.var(means) <= 1.05 * claimed
    assert claimed < 4 * np.var(means)
    assert noise_of_mean(errors[0, 0], errors[0, 0]) == 0


def entropy(shares: list[float]) -> float:
    return -sum(share * math.log2(share) for share in shares if share > 0)


def jensen_shannon(p: float, q: float) -> float:
    """By its definition: the mean Kullback-Leibler divergence from the mixture."""

    def kullback_leibler(p: float, q: float) -> float:
        return sum(a * math.log2(a / b) for a, b in ((p, q), (1 - p, 1 - q)) if a > 0 and b > 0)

    mixture = (p + q) / 2
    return (kullback_leibler(p, mixture) + kullback_leibler(q, mixture)) / 2


@given(probabilities, probabilities)
def test_divergence(p: float, q: float) -> None:
    there, back = (float(divergence(np.array([[a]]), np.array([[b]]))[0, 0]) for a, b in ((p, q), (q, p)))
    assert there == pytest.approx(jensen_shannon(p, q), abs=1e-9)
    assert there == pytest.approx(back, abs=1e-12)
    assert 0 <= there <= 1
    assert float(divergence(np.array([[p]]), np.array([[p]]))[0, 0]) == pytest.approx(0, abs=1e-12)


def test_from_surely_open_to_surely_closed_is_one_bit() -> None:
    assert divergence(np.array([[0.0, 1.0, 0.0]]), np.array([[1.0, 0.0, 0.0]])).tolist() == [[1, 1, 0]]


@given(decisions, st.randoms(use_true_random=False))
def test_flips_and_overlap(before: Bools, random: object) -> None:
    after = np.random.default_rng(before.size).random(before.shape) < 0.5
    for one, other, changed, share in zip(before, after, flipped(before, after), overlap(before, after), strict=True):
        assert changed.tolist() == [a != b for a, b in zip(one, other, strict=True)]
        ran, runs = set(np.flatnonzero(one)), set(np.flatnonzero(other))
        assert share == (len(ran & runs) / len(ran | runs) if ran | runs else 1)
    assert overlap(before, before).tolist() == [1] * len(before)


def test_where_nothing_runs_the_paths_are_equal() -> None:
    nothing, all_run = np.zeros((1, 3), np.bool_), np.ones((1, 3), np.bool_)
    assert overlap(nothing, nothing).tolist() == [1]
    assert overlap(nothing, all_run).tolist() == [0]


@given(decisions)
def test_paths(taken: Bools) -> None:
    found = paths.count(paths.numbered(taken))
    counts = Counter(map(tuple, taken.tolist()))
    assert found.distinct == len(counts)
    assert found.entropy == pytest.approx(entropy([count / len(taken) for count in counts.values()]), abs=1e-12)
    assert 0 <= found.entropy <= math.log2(len(taken)) + 1e-12


@given(st.lists(st.tuples(probabilities, st.integers(1, 100)), min_size=1, max_size=3))
def test_expected_macs(gates: list[tuple[float, int]]) -> None:
    """Over every path with its likelihood; 7 always run."""
    p, blocks = [q for q, _ in gates], [macs for _, macs in gates]
    by_hand = sum(
        likelihood(path, p) * (7 + sum(macs for macs, ran in zip(blocks, path, strict=True) if ran))
        for path in product((0, 1), repeat=len(p))
    )
    assert expected_macs(np.array([p]), blocks, 7 + sum(blocks))[0] == pytest.approx(by_hand)


def test_a_mean_over_draws_counts_the_same_in_expectation() -> None:
    draws = np.random.default_rng(0).random((20_000, 2)) < np.array([0.2, 0.7])
    counted = fmean(5 + 10 * a + 100 * b for a, b in draws.tolist())
    assert expected_macs(np.array([[0.2, 0.7]]), [10, 100], 115)[0] == pytest.approx(counted, rel=0.02)
