"""From sample tables to the report and its page: which rows are compared with which, and what a reader sees."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest

from robustbench_aig.errors import RunError
from robustbench_aig.records import Evaluation, GateStratum, Report
from robustbench_aig.reporting import aggregate, words, write_report
from robustbench_aig.reporting.series import all_series
from robustbench_aig.reporting.shifts import QUANTITIES, blocks, shift_of
from tests.reporting.synthetic import (
    BLOCK_MACS,
    EPSILONS,
    FIXED_MACS,
    GATES,
    Row,
    Study,
    _rows,
    evaluation,
    fail,
    make_study,
)

PGD = evaluation("aig-digits", "sampled", "pgd", "attack", "8/255").id
RECORDED = ("mean_p_adv", "choice_p_adv")


def with_permuted() -> Study:
    """The gated model's changes are given to other images, too; some attacked images fail."""
    study = make_study()
    planned = [
        evaluation("aig-digits", policy, "permuted", "control", eps)
        for policy in ("argmax", "sampled")
        for eps in EPSILONS
    ]
    rng = np.random.default_rng(11)
    plan = study.plan.model_copy(update={"evaluations": study.plan.evaluations + planned})
    rows = study.rows | {e.id: _rows(e, rng) for e in planned}
    for row in rows[PGD][:6]:
        fail(row)
    return Study(plan, rows)


class Written(NamedTuple):
    study: Study
    report: Report
    html: str


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    directory = (study := with_permuted()).write(tmp_path_factory.mktemp("shift"))
    return Written(study, write_report(directory), (directory / "report.html").read_text())


def find(report: Report, name: str) -> Evaluation:
    return next(e for e in report.evaluations if e.id == name)


def strata(e: Evaluation) -> dict[str, GateStratum]:
    assert e.gates is not None
    return {s.name: s for s in e.gates.strata}


def rows_of(study: Study, policy: str, attack: str, eps: str | None) -> list[Row]:
    return study.rows[evaluation("aig-digits", policy, attack, "attack", eps).id]


def shift(clean: Row, other: Row) -> float:
    """The product of two estimates of the change, summed over gates."""
    return sum(
        (float(other["mean_p_adv"][g]) - float(clean["mean_p_adv"][g]))
        * (float(other["choice_p_adv"][g]) - float(clean["choice_p_adv"][g]))
        for g in range(GATES)
    )


def outcome(clean: Row, other: Row) -> str:
    if clean["prediction"] != clean["label"]:
        return "already wrong"
    return "held" if other["prediction"] == other["label"] else "fooled"


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
@pytest.mark.parametrize("eps", EPSILONS)
@pytest.mark.parametrize("attack", ["fgsm", "pgd", "corners", "permuted"])
def test_every_attack_stands_beside_the_controls_of_its_epsilon(
    written: Written, policy: str, eps: str, attack: str
) -> None:
    clean, attacked, corners, permuted = (
        rows_of(written.study, policy, name, None if name == "clean" else eps)
        for name in ("clean", attack, "corners", "permuted")
    )
    e = find(written.report, evaluation("aig-digits", policy, attack, "attack", eps).id)
    for name, got in strata(e).items():
        classes = written.report.data.classes
        images = [
            i
            for i, (before, after) in enumerate(zip(clean, attacked, strict=True))
            if after["status"] == "ok" and name in {"all", outcome(before, after), classes[before["label"]]}
        ]
        for moves, rows in ((got.attacked, attacked), (got.corners, corners), (got.permuted, permuted)):
            assert moves is not None
            seen = [i for i in images if rows[i]["status"] == "ok"]
            assert moves.n == len(seen)
            assert moves.shift == pytest.approx(fmean(shift(clean[i], rows[i]) for i in seen))
            if policy == "argmax":
                squares = [
                    sum((float(b) - float(a)) ** 2 for a, b in zip(clean[i]["p_adv"], rows[i]["p_adv"], strict=True))
                    for i in seen
                ]
                assert moves.shift == pytest.approx(fmean(squares))
    assert e.gates is not None
    assert e.gates.flip_rate == pytest.approx(strata(e)["all"].attacked.flip_rate)


def test_unattacked_images_and_plain_models_have_no_shift(written: Written) -> None:
    assert find(written.report, evaluation("aig-digits", "sampled", "clean", "clean", None).id).gates
    for e in written.report.evaluations:
        if e.role == "clean":
            assert e.gates is None or e.gates.strata == []


def test_compute_by_probabilities_and_both_ways(written: Written) -> None:
    for policy, attack in (("sampled", "pgd"), ("argmax", "fgsm"), ("sampled", "fgsm")):
        e = find(written.report, evaluation("aig-digits", policy, attack, "attack", "8/255").id)
        mine = rows_of(written.study, policy, attack, "8/255")
        clean = rows_of(written.study, policy, "clean", None)
        pairs = [(a, b) for a, b in zip(clean, mine, strict=True) if b["status"] == "ok"]
        assert e.compute is not None
        compute = e.compute.spread
        assert compute is not None
        assert compute.up_share == fmean(b["macs_adv"] > b["macs_clean"] for _, b in pairs)
        assert compute.down_share == fmean(b["macs_adv"] < b["macs_clean"] for _, b in pairs)
        assert compute.clean_p95 == pytest.approx(np.quantile([b["macs_clean"] for _, b in pairs], 0.95))
        for got, side in ((compute.clean_expected, 0), (compute.adversarial_expected, 1)):
            by_hand = fmean(
                FIXED_MACS + BLOCK_MACS * sum(fmean(float(pair[side][c][g]) for c in RECORDED) for g in range(GATES))
                for pair in pairs
            )
            assert got == (pytest.approx(by_hand) if policy == "sampled" else None)


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)).replace("\xa0", " ")


def section(html: str) -> str:
    return html[html.index('id="shift"') : html.index('id="compute"')]


def test_the_page_has_one_table_of_it(written: Written) -> None:
    found = section(written.html)
    assert found.count("<table>") == 1
    assert "<svg" not in found
    for quantity in QUANTITIES:
        assert found.count(f'title="{words_of(quantity.meaning)}"') == 2  # two policies
    text = text_of(found)
    for block in blocks(written.report, all_series(written.report)):
        e = block.evaluations[-1]
        assert e is not None
        moved = strata(e)
        for moves in (moved["all"].attacked, moved["all"].corners, moved["all"].permuted):
            assert moves is not None
            assert moves.shift is not None
            assert words.number(moves.shift, 3) in text
        assert (
            f"{words.percent(moved['fooled'].attacked.flip_rate)} {moved['fooled'].attacked.n} images".replace(
                "\xa0", " "
            )
            in text
        )
        part = moved["fooled"].attacked.class_part
        assert part is not None
        assert part.share is not None
        assert words.percent(part.share).replace("\xa0", " ") in text
    assert "too old" not in text


def words_of(meaning: str) -> str:
    return meaning.replace("'", "&#39;")


def test_rows_follow_the_attack_that_cost_most_at_each_epsilon(written: Written) -> None:
    series = all_series(written.report)
    found = blocks(written.report, series)
    assert [(block.series.model, block.series.policy) for block in found] == [
        ("aig-digits", "argmax"),
        ("aig-digits", "sampled"),
    ]
    for block in found:
        for eps, e in zip(EPSILONS, block.evaluations, strict=True):
            mine = [
                one
                for one in written.report.evaluations
                if (one.model, one.gate_policy, one.role) == (block.series.model, block.series.policy, "attack")
                and one.threat
                and one.threat.eps == eps
                and one.status == "ok"
            ]
            assert e == min(mine, key=lambda one: one.robust_accuracy.value)


def old(study: Study, directory: Path, names: list[str]) -> Path:
    """The same with the sample tables of an earlier version."""
    study.write(directory)
    for name in names:
        path = directory / "samples" / f"{name}.parquet"
        pq.write_table(pq.read_table(path).drop_columns(list(RECORDED)), path)
    return directory


def test_a_table_of_an_earlier_version_has_flips_but_no_shift(tmp_path: Path) -> None:
    study = make_study()
    directory = old(study, tmp_path, [e.id for e in study.plan.evaluations])
    report = write_report(directory)
    e = find(report, PGD)
    moves = strata(e)["fooled"].attacked
    assert (moves.shift, moves.divergence, moves.class_part, shift_of(e)) == (None,) * 4
    assert 0 < moves.flip_rate < 1
    assert e.compute is not None
    assert e.compute.spread is not None
    assert (e.compute.spread.clean_expected, e.compute.spread.adversarial_expected) == (None, None)
    text = text_of((directory / "report.html").read_text())
    assert "too old to have shift and divergence" in text
    assert "not recorded" in text


def test_probabilities_that_are_none_are_refused(tmp_path: Path) -> None:
    for place, wrong in enumerate((1.5, float("nan"), -0.1)):
        study = make_study()
        study.rows[PGD][3]["choice_p_adv"] = np.full(GATES, wrong, np.float16)
        with pytest.raises(RunError, match="do not lie between 0 and 1"):
            aggregate(study.write(tmp_path / str(place)))


def test_an_attack_that_failed_everywhere_leaves_its_cells_empty(tmp_path: Path) -> None:
    study = make_study()
    for attack in ("fgsm", "pgd"):
        for row in rows_of(study, "sampled", attack, "8/255"):
            fail(row)
    write_report(study.write(tmp_path))
    assert "none finished" in section((tmp_path / "report.html").read_text())
