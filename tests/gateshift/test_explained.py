"""What a change of class explains of a shift: against loops, and on shifts that were made to be known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustbench_aig.gateshift.arrays import Bools, Floats, Ints
from robustbench_aig.gateshift.explained import Ways, class_ways, parts

GATES = 4
steps = arrays(np.float64, (3, GATES), elements=st.floats(-1, 1))


@given(steps, arrays(np.float64, (3, GATES), elements=st.floats(0.1, 1)))
def test_the_parts_add_up_to_the_shift(change: Floats, ways: Floats) -> None:
    found = parts(change, change, ways)
    for d, t, alpha, explained, residual in zip(change, ways, *found, strict=True):
        along = sum(a * b for a, b in zip(d, t, strict=True)) / sum(b * b for b in t)
        beside = [a - along * b for a, b in zip(d, t, strict=True)]
        assert alpha == pytest.approx(along, abs=1e-9)
        assert explained == pytest.approx(sum((along * b) ** 2 for b in t), abs=1e-9)
        assert residual == pytest.approx(sum(r * r for r in beside), abs=1e-9)
        assert sum(r * b for r, b in zip(beside, t, strict=True)) == pytest.approx(0, abs=1e-9)
        assert explained + residual == pytest.approx(sum(a * a for a in d), abs=1e-9)


@given(steps, steps, arrays(np.float64, (3, GATES), elements=st.floats(0.1, 1)))
def test_two_estimates_add_up_to_the_corrected_shift(change: Floats, again: Floats, ways: Floats) -> None:
    found = parts(change, again, ways)
    assert found.explained + found.residual == pytest.approx((change * again).sum(axis=1), abs=1e-9)


def test_the_noise_of_draws_is_no_residual() -> None:
    """Half of the way to the other class, seen through the noise of two sets of draws."""
    rng = np.random.default_rng(0)
    way = np.array([0.5, -0.5, 0.2, 0.0])
    seen = [0.5 * way + rng.normal(0, 0.3, (20_000, GATES)) for _ in range(2)]
    found = parts(seen[0], seen[1], np.tile(way, (20_000, 1)))
    assert found.alpha.mean() == pytest.approx(0.5, abs=0.02)
    assert found.explained.mean() == pytest.approx(0.25 * (way**2).sum(), abs=0.01)
    assert found.residual.mean() == pytest.approx(0, abs=0.01)
    naive = parts(seen[0], seen[0], np.tile(way, (20_000, 1)))
    assert naive.residual.mean() > 0.2


def clean(rng: np.random.Generator, spread: float = 0.05) -> tuple[Floats, Ints]:
    """Twelve images in each of three classes, of which the last two have the same gates."""
    label = np.repeat(np.arange(3), 12)
    means = np.array([[0.1, 0.9, 0.5, 0.5], [0.9, 0.1, 0.5, 0.5], [0.9, 0.1, 0.5, 0.5]])
    return means[label] + rng.normal(0, spread, (36, GATES)), label


def ways_of(p: Floats, label: Ints, to: Ints, measured: Bools | None = None) -> Ways:
    everything = np.ones(len(p), np.bool_)
    return class_ways(p, label, to, of=everything, measured=everything if measured is None else measured)


def test_ways_leave_the_image_itself_out_of_its_class() -> None:
    p, label = clean(np.random.default_rng(1))
    measured = np.arange(36) % 5 != 4
    to = (label + 1) % 3
    found = ways_of(p, label, to, measured)
    for image in range(36):
        if not measured[image]:
            assert not found.known[image]
            continue
        own = [p[i] for i in range(36) if measured[i] and label[i] == label[image] and i != image]
        other = [p[i] for i in range(36) if measured[i] and label[i] == to[image]]
        assert found.vectors[image] == pytest.approx(np.mean(other, axis=0) - np.mean(own, axis=0))


def test_classes_that_are_not_told_apart_have_no_way() -> None:
    p, label = clean(np.random.default_rng(2))
    assert ways_of(p, label, np.where(label == 0, 1, 0)).known.all()
    assert not ways_of(p, label, np.where(label == 1, 2, label)).known.any()
    assert not ways_of(p, label, label).known.any()


def test_classes_without_images_enough_have_no_way() -> None:
    p, label = clean(np.random.default_rng(3))
    to = np.where(label == 0, 1, 0)
    assert not ways_of(p, label, np.full(36, 7)).known.any()
    few = (label != 0) | (np.arange(36) < 2)
    assert not ways_of(p, label, to, few)[1][label == 0].any()
    assert ways_of(p, label, to, few)[1][label == 1].all()
    one = (label != 0) | (np.arange(36) < 1)
    assert not ways_of(p, label, to, one).known.any()


def test_only_what_is_asked_for() -> None:
    p, label = clean(np.random.default_rng(4))
    wanted = np.arange(36) == 3
    found = class_ways(p, label, np.where(label == 0, 1, 0), of=wanted, measured=np.ones(36, np.bool_))
    assert np.flatnonzero(found.known).tolist() == [3]


def test_an_image_without_a_shift_has_gone_no_way() -> None:
    """With its own image in the mean, the clean image would already lie off its class's mean."""
    found = parts(np.zeros((1, GATES)), np.zeros((1, GATES)), np.ones((1, GATES)))
    assert [part.tolist() for part in found] == [[0], [0], [0]]
