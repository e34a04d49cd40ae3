"""The record of an evaluation against a count in plain loops over its images."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from robustbench_aig.gateshift import Version, Versions, moved_gates
from robustbench_aig.gateshift.arrays import Ints
from robustbench_aig.gateshift.strata import outcomes, strata
from robustbench_aig.records import GateMoves, GateStratum

N, GATES, CLASSES = 90, 5, ["cat", "dog", "frog"]


def version(rng: np.random.Generator, label: Ints, strength: float, failing: float) -> Version:
    """Gates of each class of its own, moved at random and towards the next class; predictions follow the strength."""
    means = np.array([[0.1, 0.9, 0.5, 0.5, 0.2], [0.9, 0.1, 0.5, 0.3, 0.2], [0.5, 0.5, 0.1, 0.9, 0.2]])
    own = np.random.default_rng(0).normal(0, 0.05, (N, GATES))
    base = means[label] + own + strength * (means[(label + 1) % 3] - means[label])
    p, again = (np.clip(base + rng.normal(0, 0.05, base.shape), 0, 1) for _ in range(2))
    return Version(
        measured=rng.random(N) >= failing,
        prediction=np.where(rng.random(N) < 0.1 + strength, (label + 1) % 3, label),
        decisions=np.random.default_rng(1).random(base.shape) < p,
        p=p,
        again=again,
    )


@pytest.fixture(scope="module")
def label() -> Ints:
    return np.arange(N) % 3


@pytest.fixture(scope="module")
def versions(label: Ints) -> Versions:
    rng = np.random.default_rng(5)
    return Versions(*(version(rng, label, *how) for how in ((0, 0.05), (0.5, 0.1), (0.1, 0.1), (0.05, 0.1))))


@pytest.fixture(scope="module")
def records(label: Ints, versions: Versions) -> list[GateStratum]:
    return moved_gates(label, versions, CLASSES)


def members(stratum: GateStratum, label: Ints, versions: Versions) -> list[int]:
    """The images of a stratum, by the words that its name is made of."""
    clean, attacked = versions.clean, versions.attacked
    found = []
    for i in range(N):
        was_right, is_right = clean.prediction[i] == label[i], attacked.prediction[i] == label[i]
        outcome = ("held" if is_right else "fooled") if was_right else "already wrong"
        names = {"all": "all", "outcome": outcome, "class": CLASSES[label[i]]}
        if clean.measured[i] and attacked.measured[i] and names[stratum.by] == stratum.name:
            found.append(i)
    return found


def test_every_stratum_is_there(records: list[GateStratum]) -> None:
    assert [(s.by, s.name) for s in records] == [
        ("all", "all"),
        ("outcome", "fooled"),
        ("outcome", "held"),
        ("outcome", "already wrong"),
        *(("class", name) for name in CLASSES),
    ]


def arrays_of(one: Version) -> tuple[np.ndarray, np.ndarray]:
    assert one.p is not None
    assert one.again is not None
    return one.p, one.again


def shift(clean: Version, other: Version, i: int, gate: int) -> float:
    (p, again), (q, anew) = arrays_of(clean), arrays_of(other)
    return float((q[i, gate] - p[i, gate]) * (anew[i, gate] - again[i, gate]))


def divergence(clean: Version, other: Version, i: int, gate: int) -> float:
    p, q = (fmean(part[i, gate] for part in arrays_of(one)) for one in (clean, other))

    def entropy(p: float) -> float:
        return -sum(share * math.log2(share) for share in (p, 1 - p) if share > 0)

    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2


def same_moves(got: GateMoves, clean: Version, other: Version, images: list[int], *, per_gate: bool) -> None:
    flips = [[bool(a != b) for a, b in zip(clean.decisions[i], other.decisions[i], strict=True)] for i in images]
    shifts = [[shift(clean, other, i, gate) for gate in range(GATES)] for i in images]
    apart = [[divergence(clean, other, i, gate) for gate in range(GATES)] for i in images]
    shared = []
    for i in images:
        ran, runs = (set(np.flatnonzero(one.decisions[i])) for one in (clean, other))
        shared.append(len(ran & runs) / len(ran | runs) if ran | runs else 1.0)
    assert got.n == len(images)
    assert got.flip_rate == pytest.approx(fmean(fmean(row) for row in flips))
    assert got.shift == pytest.approx(fmean(sum(row) for row in shifts))
    assert got.divergence == pytest.approx(fmean(fmean(row) for row in apart))
    assert got.overlap == pytest.approx(fmean(shared))
    assert got.paths == len({tuple(other.decisions[i]) for i in images})
    assert (got.largest is not None) == per_gate
    if got.largest is not None:
        assert got.largest.value == max(got.flip_rates) == got.flip_rates[got.largest.gate]
        assert got.largest.low < got.largest.value < got.largest.high
    for lists, rows in ((got.flip_rates, flips), (got.shifts, shifts), (got.divergences, apart)):
        assert lists == pytest.approx([fmean(row[gate] for row in rows) for gate in range(GATES)] if per_gate else [])


def test_moves(records: list[GateStratum], label: Ints, versions: Versions) -> None:
    clean = versions.clean
    for stratum in records:
        images = members(stratum, label, versions)
        per_gate = stratum.by != "class"
        same_moves(stratum.attacked, clean, versions.attacked, images, per_gate=per_gate)
        assert stratum.clean_paths == len({tuple(clean.decisions[i]) for i in images})
        for got, control in ((stratum.corners, versions.corners), (stratum.permuted, versions.permuted)):
            assert got is not None
            assert control is not None
            same_moves(got, clean, control, [i for i in images if control.measured[i]], per_gate=per_gate)


def test_excess_is_paired(records: list[GateStratum], label: Ints, versions: Versions) -> None:
    control = versions.permuted
    assert control is not None
    for stratum in records:
        images = [i for i in members(stratum, label, versions) if control.measured[i]]
        attacked, noisy = (
            [sum(shift(versions.clean, one, i, gate) for gate in range(GATES)) for i in images]
            for one in (versions.attacked, control)
        )
        expected = ttest_rel(attacked, noisy).confidence_interval(0.95)
        got = stratum.beyond_permuted
        assert got is not None
        assert (got.low, got.high) == pytest.approx((expected.low, expected.high))
        assert got.value == pytest.approx(fmean(attacked) - fmean(noisy))
        assert got.n == len(images)


def way(label: Ints, versions: Versions, i: int) -> list[float]:
    clean = versions.clean
    pooled = (arrays_of(clean)[0] + arrays_of(clean)[1]) / 2
    mine, there = (
        [pooled[j] for j in range(N) if clean.measured[j] and label[j] == c and j != i]
        for c in (label[i], versions.attacked.prediction[i])
    )
    return [fmean(row[g] for row in there) - fmean(row[g] for row in mine) for g in range(GATES)]


def test_what_the_class_explains(records: list[GateStratum], label: Ints, versions: Versions) -> None:
    """Of the fooled images, under attack and under a control, on the way to the class that the attack made of them."""
    fooled = next(s for s in records if s.name == "fooled")
    for got, other in ((fooled.attacked, versions.attacked), (fooled.corners, versions.corners)):
        assert got is not None
        assert other is not None
        part = got.class_part
        assert part is not None
        images = [i for i in members(fooled, label, versions) if other.measured[i]]
        explained, totals, gone, lengths, noise = [], [], [], [], []
        for i in images:
            t = way(label, versions, i)
            (p, again), (q, anew) = arrays_of(versions.clean), arrays_of(other)
            one, two = (sum((b[i, g] - a[i, g]) * t[g] for g in range(GATES)) for a, b in ((p, q), (again, anew)))
            length = sum(x * x for x in t)
            explained.append(one * two / length)
            totals.append(sum(shift(versions.clean, other, i, g) for g in range(GATES)))
            gone.append((one + two) / 2)
            lengths.append(length)
            apart = [(q[i, g] - p[i, g]) - (anew[i, g] - again[i, g]) for g in range(GATES)]
            noise.append(sum(x * x for x in apart) ** 2 / 12)
        assert part.n == len(images)
        assert part.alpha == pytest.approx(sum(gone) / sum(lengths))
        assert part.explained == pytest.approx(fmean(explained))
        assert part.residual == pytest.approx(fmean(totals) - fmean(explained))
        told = fmean(totals) > 2 * math.sqrt(sum(noise)) / len(images)
        assert part.share == (pytest.approx(fmean(explained) / fmean(totals)) if told else None)
    assert fooled.attacked.class_part is not None
    assert fooled.attacked.class_part.alpha == pytest.approx(0.5, abs=0.05)
    assert fooled.attacked.class_part.share == pytest.approx(1, abs=0.1)


def test_only_fooled_images_have_a_class_to_go_to(records: list[GateStratum]) -> None:
    for stratum in records:
        assert (stratum.attacked.class_part is None) == (stratum.name in {"held", "already wrong"})


def test_without_controls_and_without_probabilities(label: Ints, versions: Versions) -> None:
    clean, attacked = versions.clean, versions.attacked
    old = Version(attacked.measured, attacked.prediction, attacked.decisions, None, None)
    for stratum in moved_gates(label, Versions(clean, old, None, None), CLASSES):
        moves = stratum.attacked
        assert (stratum.corners, stratum.permuted, stratum.beyond_corners, stratum.beyond_permuted) == (None,) * 4
        assert (moves.shift, moves.divergence, moves.class_part, moves.shifts) == (None, None, None, [])
        assert moves.flip_rate > 0


def test_a_shift_that_is_not_told_from_none_is_not_divided(label: Ints, versions: Versions) -> None:
    """A control that only the noise of draws moved."""
    rng = np.random.default_rng(9)
    p, again = (np.clip(part + rng.normal(0, 0.05, part.shape), 0, 1) for part in arrays_of(versions.clean))
    still = Version(versions.clean.measured, versions.clean.prediction, versions.clean.decisions, p, again)
    found = moved_gates(label, Versions(versions.clean, versions.attacked, still, None), CLASSES)
    corners = next(s for s in found if s.name == "fooled").corners
    assert corners is not None
    assert corners.class_part is not None
    assert corners.class_part.share is None


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3, st.booleans()), min_size=1, max_size=12))
def test_strata_part_the_images(images: list[tuple[int, int, int, bool]]) -> None:
    label, clean, attacked, measured = (np.array(column) for column in zip(*images, strict=True))
    assert (np.stack(list(outcomes(label, clean, attacked).values())).sum(axis=0) == 1).all()
    found = strata(label, clean, attacked, measured=measured, classes=list("abcd"))
    for by in ("outcome", "class"):
        parts = [s.images for s in found if s.by == by]
        assert (np.sum(parts, axis=0) == measured).all() if parts else not measured.any()
    assert all(s.images.any() for s in found)
