"""A report of attacks on the compute alone answers what they do to it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from robustbench_aig.records import EvaluationPlan
from robustbench_aig.reporting import aggregate, write_report
from robustbench_aig.reporting.compute_verdict import forced
from robustbench_aig.reporting.series import all_series, headline
from tests.reporting.synthetic import EPSILONS, TOTAL_MACS, Study, evaluation, make_study

DIRECTIONS = {
    "pgd": {"algorithm": "compute", "direction": "up", "keep_prediction": False},
    "fgsm": {"algorithm": "compute", "direction": "up", "keep_prediction": True},
}
CLOCK = {
    "ratio": 1.23, "low": 1.22, "high": 1.24, "images": 20, "pairs": 9, "device": "cpu", "threads": 1,
    "clean_ms_per_image": 0.5,
}  # fmt: skip


def on_the_compute(study: Study, directions: dict[str, dict[str, object]]) -> Study:
    """The same rows as those of attacks on the compute."""

    def planned(e: EvaluationPlan) -> EvaluationPlan:
        of = directions.get(e.attack)
        return e if of is None else e.model_copy(update={"role": "compute", "settings": of})

    evaluations = [planned(e) for e in study.plan.evaluations]
    return Study(study.plan.model_copy(update={"evaluations": evaluations}), study.rows)


def recovered(study: Study, policy: str, attack: str) -> str:
    role = "control" if attack == "corners" else "attack"
    rows = study.rows[evaluation("aig-digits", policy, attack, role, EPSILONS[-1]).id]  # type: ignore[arg-type]
    before, after = (np.mean([row[key] for row in rows]) for key in ("macs_clean", "macs_adv"))
    return f"{100 * (after - before) / (TOTAL_MACS - before):.1f}".replace("-", "\u2212") + "\u00a0%"


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_the_sentence_is_what_the_rows_say(tmp_path: Path, policy: str) -> None:
    study = on_the_compute(make_study(), DIRECTIONS)
    directory = study.write(tmp_path)
    clocked = evaluation("aig-digits", policy, "pgd", "attack", EPSILONS[-1]).id
    (directory / "latency.json").write_text(json.dumps({clocked: CLOCK}))
    report = aggregate(directory)
    found = {one.series.policy: one for one in forced(report, study.plan, all_series(report))}
    assert set(found) == {"argmax", "sampled"}, "a plain network has nothing to force"
    said, asked = found[policy].sentence, found[policy]
    change = {e.attack: e.compute.change for e in report.evaluations if e.compute and e.gate_policy == policy
              and e.threat and e.threat.eps == EPSILONS[-1]}  # fmt: skip
    most = max(("pgd", "fgsm"), key=lambda attack: change[attack])
    assert asked.by.most.attack == most
    assert asked.by.kept is not None
    assert asked.by.kept.attack == "fgsm"
    assert f" execute {recovered(study, policy, most)} of the compute that it skips on clean images" in said
    assert f"({recovered(study, policy, 'fgsm')} without changing any predicted class, " in said
    assert f"{recovered(study, policy, 'corners')} by random-sign noise of the same" in said
    assert ("1.23 [1.22, 1.24] times as long" if most == "pgd" else "The time was not measured") in said


def test_the_page_is_about_the_compute_and_shows_every_part(tmp_path: Path) -> None:
    study = on_the_compute(make_study(), DIRECTIONS)
    report = write_report(study.write(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert "Can an attacker make it slower?" in page
    for wrong in (
        "No gated network was attacked",
        "nothing to show",
        "per-image union over",
        "None of these attacks is gate-aware",
        "is finished yet",
        'not run</span></td></tr>\n<tr><th scope="row" class="name">pgd',
    ):
        assert wrong not in page
    assert ">worst case over attacks<" not in page.partition('id="glossary"')[0]
    for one in all_series(report):
        if one.chooses:
            changes = [e.compute.change for e in report.evaluations if e.compute and e.role == "compute"
                       and e.threat and e.threat.eps == EPSILONS[-1] and e.gate_policy == one.policy]  # fmt: skip
            found = headline(report.evaluations, one.model, one.policy)
            assert found is not None
            assert found.compute is not None
            assert found.compute.change == max(changes)


def test_where_the_accuracy_is_attacked_too_both_are_answered(tmp_path: Path) -> None:
    study = on_the_compute(make_study(), {"pgd": DIRECTIONS["pgd"]})
    write_report(study.write(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert page.count("of the compute that it skips on clean images") == 2
    assert "per-image union over fgsm" in page


def test_lowering_forces_nothing(tmp_path: Path) -> None:
    study = on_the_compute(make_study(), {"pgd": DIRECTIONS["pgd"] | {"direction": "down"}})
    report = aggregate(study.write(tmp_path))
    assert forced(report, study.plan, all_series(report)) == []


def test_the_chart_of_compute_shows_the_attack_that_raises_it_most(tmp_path: Path) -> None:
    """Beside an attack on the accuracy, which costs most of that."""
    report = write_report(on_the_compute(make_study(), {"pgd": DIRECTIONS["pgd"]}).write(tmp_path))
    html = (tmp_path / "report.html").read_text()
    compute = html[html.index('id="compute"') :]
    captions = re.findall(r"<figcaption>[^:<]*: ([^,]*), ", compute[: compute.index("<table>")])
    assert captions == ["pgd", "pgd"]
    assert {e.attack for e in report.evaluations if e.role == "attack"} == {"fgsm"}
