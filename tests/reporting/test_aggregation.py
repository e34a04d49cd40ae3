"""Every aggregated number against an independent count in plain loops."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from robustbench_aig.records import Comparison, Evaluation, Report, WorstCase
from robustbench_aig.reporting import aggregate
from robustbench_aig.statistics import mcnemar, mean_interval, paired_interval, wilson
from tests.reporting.synthetic import GATES, TOTAL_MACS, Row, Study, fail, make_study
from tests.reporting.worst_rows import choose, rows_id


@pytest.fixture(scope="module")
def rows() -> dict[str, list[Row]]:
    return make_study().rows


@pytest.fixture(scope="module")
def report(directory: Path) -> Report:
    return aggregate(directory)


def bits(row: Row, column: str) -> list[int]:
    number = int.from_bytes(row[column], "big")
    width = 8 * len(row[column])
    return [(number >> (width - 1 - gate)) & 1 for gate in range(GATES)]


def flips(row: Row) -> list[int]:
    return [a ^ b for a, b in zip(bits(row, "gates_clean"), bits(row, "gates_adv"), strict=True)]


def test_evaluations_keep_the_order_of_the_plan(report: Report, study: Study) -> None:
    assert [e.id for e in report.evaluations] == [e.id for e in study.plan.evaluations]
    assert report.status == "complete"
    assert (report.created, report.command, report.digest) == (
        study.plan.created,
        study.plan.command,
        study.plan.digest,
    )


def test_accuracies(report: Report, rows: dict[str, list[Row]]) -> None:
    for e in report.evaluations:
        mine, got = rows[e.id], e.robust_accuracy
        value = fmean(row["correct_draws"] / row["draws"] for row in mine)
        assert got.value == pytest.approx(value)
        assert (got.n, got.draws) == (len(mine), mine[0]["draws"])
        if e.gate_policy == "sampled":
            shares = np.array([row["correct_draws"] / row["draws"] for row in mine])
            assert (got.low, got.high) == mean_interval(shares, bounds=(0, 1))
            assert (got.interval, got.count) == ("student", None)
            assert got.majority == pytest.approx(fmean(row["prediction"] == row["label"] for row in mine))
            assert got.all_right == pytest.approx(fmean(row["correct_draws"] == row["draws"] for row in mine))
            assert got.any_right == pytest.approx(fmean(row["correct_draws"] > 0 for row in mine))
        else:
            count = sum(row["correct_draws"] for row in mine)
            assert (got.count, got.interval, got.majority) == (count, "wilson", None)
            assert (got.low, got.high) == wilson(count, len(mine))
        clean = next(c for c in report.evaluations if (c.model, c.gate_policy) == (e.model, e.gate_policy))
        assert clean.role == "clean"
        assert e.clean_accuracy == clean.robust_accuracy == clean.clean_accuracy


def test_distance_compute_and_cost(report: Report, rows: dict[str, list[Row]]) -> None:
    for index, e in enumerate(report.evaluations):
        mine = rows[e.id]
        before, after = (fmean(row[name] for row in mine) for name in ("macs_clean", "macs_adv"))
        assert e.compute is not None
        assert e.compute.clean_macs == pytest.approx(before)
        assert e.compute.adversarial_macs == pytest.approx(after)
        assert e.compute.change == pytest.approx(after / before - 1)
        assert e.compute.p95 == pytest.approx(np.quantile([row["macs_adv"] for row in mine], 0.95))
        if e.model == "resnet-digits":
            assert e.compute.recovered is None
        else:
            assert e.compute.recovered == pytest.approx((after - before) / (TOTAL_MACS - before))
        assert e.cost.forwards == mine[0]["forwards"]
        assert e.cost.seconds == 1.5 + index
        if e.role == "clean":
            assert e.distance is None
        else:
            assert e.distance is not None
            assert e.distance.linf_max == pytest.approx(max(row["linf"] for row in mine))
            assert e.distance.l2_mean == pytest.approx(fmean(row["l2"] for row in mine))


def test_gates(report: Report, rows: dict[str, list[Row]]) -> None:
    for e in report.evaluations:
        if e.model == "resnet-digits":
            assert e.gates is None
            continue
        assert e.gates is not None
        mine = rows[e.id]
        assert e.gates.flip_rate == pytest.approx(fmean(fmean(flips(row)) for row in mine))
        steps = [
            sum((float(b) - float(a)) ** 2 for a, b in zip(row["p_clean"], row["p_adv"], strict=True)) for row in mine
        ]
        assert e.gates.shift == pytest.approx(fmean(steps))
        noise = None if e.threat is None else rows[rows_id(e.model, e.gate_policy, "corners", e.threat.eps)]
        for gate, shift in enumerate(e.gates.per_gate):
            assert shift.rate_clean == pytest.approx(fmean(bits(row, "gates_clean")[gate] for row in mine))
            assert shift.rate_adv == pytest.approx(fmean(bits(row, "gates_adv")[gate] for row in mine))
            assert shift.flip_rate == pytest.approx(fmean(flips(row)[gate] for row in mine))
            expected = None if noise is None else pytest.approx(fmean(flips(row)[gate] for row in noise))
            assert shift.noise_flip_rate == expected
        for label, of_class in enumerate(e.gates.per_class):
            members = [bits(row, "gates_adv") for row in mine if row["label"] == label]
            assert of_class.n == len(members)
            assert of_class.rates_adv == pytest.approx([fmean(m[gate] for m in members) for gate in range(GATES)])


def worst(report: Report, model: str, policy: str, eps: str) -> WorstCase:
    return next(w for w in report.worst_case if (w.model, w.gate_policy, w.threat.eps) == (model, policy, eps))


def compared(report: Report, policy: str, attack: str, eps: str | None) -> Comparison:
    return next(
        c
        for c in report.comparisons
        if (c.gate_policy, c.attack, c.threat.eps if c.threat else None) == (policy, attack, eps)
    )


def scores(rows: dict[str, list[Row]], model: str, policy: str, attack: str, eps: str | None) -> list[float]:
    if attack == "union":
        assert eps
        return [row["correct_draws"] / row["draws"] for _, row in choose(rows, model, policy, eps)]
    return [row["correct_draws"] / row["draws"] for row in rows[rows_id(model, policy, attack, eps)]]


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
@pytest.mark.parametrize("attack", ["clean", "fgsm", "pgd", "corners", "union"])
def test_comparisons(report: Report, rows: dict[str, list[Row]], policy: str, attack: str) -> None:
    eps = None if attack == "clean" else "8/255"
    gated = scores(rows, "aig-digits", policy, attack, eps)
    plain = scores(rows, "resnet-digits", "none", attack, eps)
    got = compared(report, policy, attack, eps)
    pairs = list(zip(gated, plain, strict=True))
    assert got.difference == pytest.approx(fmean(a - b for a, b in pairs))
    assert got.only_gated == pytest.approx(sum(max(a - b, 0) for a, b in pairs))
    assert got.only_plain == pytest.approx(sum(max(b - a, 0) for a, b in pairs))
    if policy == "argmax":
        only = sum(a > b for a, b in pairs), sum(b > a for a, b in pairs)
        assert got.p_value == mcnemar(*only)
        assert (got.low, got.high) == paired_interval(*only, len(pairs))
    else:
        assert got.p_value is None
        assert (got.low, got.high) == mean_interval(np.subtract(gated, plain), bounds=(-1, 1))
    both = [
        index
        for index in range(len(pairs))
        if all(
            rows[rows_id(model, p, "clean", None)][index]["prediction"]
            == rows[rows_id(model, p, "clean", None)][index]["label"]
            for model, p in (("aig-digits", policy), ("resnet-digits", "none"))
        )
    ]
    assert got.both_correct is not None
    assert got.both_correct.gated.n == got.both_correct.plain.n == len(both)
    assert got.both_correct.gated.value == pytest.approx(fmean(gated[index] for index in both))
    assert got.both_correct.plain.value == pytest.approx(fmean(plain[index] for index in both))


def test_every_condition_is_compared(report: Report) -> None:
    conditions = [(c.gate_policy, c.attack, c.threat.eps if c.threat else None) for c in report.comparisons]
    assert len(conditions) == len(set(conditions)) == 2 * (1 + 2 * 4)


def test_failed_images_are_lost_and_counted_nowhere_else(study: Study, tmp_path: Path) -> None:
    name = rows_id("aig-digits", "argmax", "pgd", "8/255")
    for row in study.rows[name][:7]:
        fail(row)
    kept = study.rows[name][7:]
    report = aggregate(study.write(tmp_path))
    e = next(e for e in report.evaluations if e.id == name)
    assert (report.status, e.status, e.errors, e.n) == ("error", "error", 7, len(kept) + 7)
    assert e.robust_accuracy.count == sum(row["correct_draws"] for row in kept)
    assert e.compute is not None
    assert e.compute.adversarial_macs == pytest.approx(fmean(row["macs_adv"] for row in kept))
    assert e.gates is not None
    assert e.gates.flip_rate == pytest.approx(fmean(fmean(flips(row)) for row in kept))
    assert sum(shift.n for shift in e.gates.per_class) == len(kept)
    union = worst(report, "aig-digits", "argmax", "8/255")
    chosen = choose(study.rows, "aig-digits", "argmax", "8/255")[7:]
    assert union.status == "error"
    assert union.accuracy.count == sum(row["correct_draws"] for _, row in chosen)
    assert sum(union.strongest.values()) == len(kept)
    assert compared(report, "argmax", "pgd", "8/255").status == "error"
    assert compared(report, "argmax", "union", "8/255").status == "error"
    assert compared(report, "argmax", "fgsm", "8/255").status == "ok"


def test_an_attack_that_failed_everywhere_has_no_gates(study: Study, tmp_path: Path) -> None:
    name = rows_id("aig-digits", "sampled", "fgsm", "4/255")
    for row in study.rows[name]:
        fail(row)
    e: Any = next(e for e in aggregate(study.write(tmp_path)).evaluations if e.id == name)
    assert isinstance(e, Evaluation)
    assert (e.gates, e.distance, e.errors) == (None, None, e.n)
    assert e.robust_accuracy.value == 0


def test_unfinished_evaluations_are_left_out(study: Study, tmp_path: Path) -> None:
    study.write(tmp_path)
    name = rows_id("aig-digits", "argmax", "pgd", "8/255")
    (tmp_path / "samples" / f"{name}.parquet").unlink()
    (tmp_path / "times.json").unlink()
    report = aggregate(tmp_path)
    assert report.status == "partial"
    assert len(report.evaluations) == len(study.plan.evaluations) - 1
    found = {(w.gate_policy, w.threat.eps) for w in report.worst_case}
    assert ("argmax", "8/255") not in found
    assert ("argmax", "4/255") in found
    assert {e.cost.seconds for e in report.evaluations} == {None}


def test_without_clean_rows_a_policy_is_left_out(study: Study, tmp_path: Path) -> None:
    study.write(tmp_path)
    (tmp_path / "samples" / f"{rows_id('resnet-digits', 'none', 'clean', None)}.parquet").unlink()
    report = aggregate(tmp_path)
    assert {e.model for e in report.evaluations} == {"aig-digits"}
    assert report.comparisons == []
