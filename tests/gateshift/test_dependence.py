"""Whether gates look at the image: against closed forms, exact expectations and simulated networks of coins."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_aig.gateshift.arrays import Floats
from robustbench_aig.gateshift.dependence import EXPLAINED, dependence, dependence_of_decisions, explained_shares
from robustbench_aig.records import Dependence, GateDependence

probability = st.floats(0.05, 0.95)


def drawn(p: Floats, draws: int, seed: int) -> tuple[Floats, Floats]:
    """Two estimates of p (N, G), each from so many tosses of its coins."""
    rng = np.random.default_rng(seed)
    first, second = (rng.binomial(draws, p) / draws for _ in range(2))
    return first, second


def of_one(p: Floats, again: Floats) -> GateDependence:
    found = dependence(p[:, None], again[:, None], p[:, None] > 0.5, ["1.1"])
    assert found is not None
    return found.gates[0]


def two_sided(low: float, high: float, share: float, n: int = 20000) -> tuple[Floats, float]:
    """A gate that is open with probability `high` for a share of n images, else `low`; what the image explains."""
    p = np.where(np.arange(n) < share * n, high, low)
    mean = share * high + (1 - share) * low
    return p, share * (1 - share) * (high - low) ** 2 / (mean * (1 - mean))


@given(probability, probability, st.floats(0.1, 0.9))
def test_a_gate_with_two_probabilities_has_the_closed_form(low: float, high: float, share: float) -> None:
    p, explained = two_sided(low, high, round(share, 2))
    assert explained_shares(p[:, None], p[:, None]).of_gates[0] == pytest.approx(explained, abs=1e-3)


@pytest.mark.parametrize("draws", [1, 5])
def test_few_draws_do_not_bias_it(draws: int) -> None:
    p, explained = two_sided(0.2, 0.8, 0.4)
    first, second = drawn(p[:, None], draws, seed=0)
    assert explained_shares(first, second).of_gates[0] == pytest.approx(explained, abs=0.02)
    naive = explained_shares(first, first).of_gates[0]  # what one set of draws would make of it
    assert naive > explained + (0.1 if draws == 5 else 0.5)


@given(st.lists(probability, min_size=2, max_size=4))
def test_the_images_part_is_exact_in_expectation_with_a_single_draw(p: list[float]) -> None:
    """Over every pair of draws that there is, by the definition of an expectation."""
    images = np.array(p)
    expected = 0.0
    for one, other in product(product((0, 1), repeat=len(p)), repeat=2):
        likely = np.prod([q if z else 1 - q for draw in (one, other) for z, q in zip(draw, p, strict=True)])
        expected += float(likely) * float(np.cov(one, other)[0, 1])
    assert expected == pytest.approx(images.var(ddof=1), abs=1e-12)
    shares = explained_shares(images[:, None], images[:, None])
    mean = images.mean()
    unbiased = mean * (1 - mean) + images.var(ddof=1) / len(p)
    assert shares.of_gates[0] == pytest.approx(images.var(ddof=1) / unbiased)


def test_coins_explain_nothing_and_decide_nothing() -> None:
    p = np.full((1000, 4), [0.3, 0.5, 0.6, 0.8])
    found = dependence(*drawn(p, 10, seed=1), np.random.default_rng(2).random(p.shape) < p, list("abcd"))
    assert found is not None
    assert (found.deciding, found.unclear, found.looks) == (0, 0, False)
    assert found.explained is not None
    assert found.explained.low <= 0 <= found.explained.high < 0.1
    assert found.paths == 16  # the draws' own: many paths are no proof of a choice


def test_gates_that_look_decide() -> None:
    p = np.random.default_rng(3).choice([0.05, 0.95], (1000, 4))
    found = dependence(*drawn(p, 10, seed=4), p > 0.5, list("abcd"))
    assert found is not None
    assert (found.deciding, found.looks) == (4, True)


def test_in_all_is_the_parts_over_the_variances() -> None:
    looking, share = two_sided(0.1, 0.9, 0.5)
    p = np.stack([looking, np.full_like(looking, 0.5)], axis=1)
    assert explained_shares(p, p).overall == pytest.approx(share / 2, abs=1e-3)


@pytest.mark.parametrize(
    ("rare", "decides"), [(0, False), (10, False), (50, None), (100, True), (900, True), (1000, False)]
)
def test_gates_that_draw_nothing_decide_where_they_vary(rare: int, decides: bool | None) -> None:
    decisions = (np.arange(1000) < rare)[:, None]
    found = dependence_of_decisions(decisions, ["1.1"])
    assert found is not None
    gate = found.gates[0]
    assert gate.by_image is decides
    assert (gate.explained is None) == (rare in (0, 1000))
    assert gate.explained is None or gate.explained.value == gate.explained.low == 1
    assert found.paths == (1 if rare in (0, 1000) else 2)


@pytest.mark.parametrize("n", [4, 8])
def test_few_images_cannot_tell(n: int) -> None:
    coins, looking = np.full(n, 0.5), np.tile([0.0, 1.0], n // 2)
    assert of_one(coins, coins).by_image is None
    assert of_one(looking, looking).by_image is not False
    assert dependence(np.ones((2, 1)), np.ones((2, 1)), np.ones((2, 1), bool), ["1.1"]) is None


def test_what_images_may_hide_counts_against_a_gate_that_is_nearly_always_open() -> None:
    nearly = np.full(100, 0.93)
    assert of_one(nearly, nearly).by_image is None
    assert of_one(np.full(2000, 0.93), np.full(2000, 0.93)).by_image is False


def network(states: list[bool | None]) -> Dependence:
    """Gates that certainly look, certainly don't, or are on the threshold."""
    rng = np.random.default_rng(5)
    spread = {True: 0.45, False: 0.0, None: (EXPLAINED / 4) ** 0.5}
    p = np.stack([0.5 + spread[state] * rng.choice([-1, 1], 300) for state in states], axis=1)
    found = dependence(*drawn(p, 10, seed=6), p > 0.5, [str(g) for g in range(len(states))])
    assert found is not None
    assert [gate.by_image for gate in found.gates] == states
    return found


@pytest.mark.parametrize(
    ("states", "looks"),
    [
        ([True, True, False, False], True),
        ([True, False, False, False], False),
        ([True, None, False, False], None),
        ([True, False, False, None, None], None),
    ],
)
def test_a_network_looks_where_half_of_its_gates_do(states: list[bool | None], looks: bool | None) -> None:
    assert network(states).looks is looks


def test_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(7)
    held = []
    for seed in range(150):
        p = rng.choice([0.2, 0.8], 120)
        found = of_one(*(one[:, 0] for one in drawn(p[:, None], 10, seed)))
        assert found.explained is not None
        held.append(found.explained.low <= 0.36 <= found.explained.high)
    assert np.mean(held) >= 0.93
