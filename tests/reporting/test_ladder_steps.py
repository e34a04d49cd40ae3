"""The ladder's steps against a count in plain Python, and what the page says of them."""

from pathlib import Path

import pytest

from robustbench_aig.ladder import STEPS
from robustbench_aig.records import Rung
from robustbench_aig.reporting import aggregate, write_report
from robustbench_aig.reporting.words import distinct
from tests.reporting.synthetic import Study, make_study

RUNGS = [
    Rung(key="R0", title="plain", model="resnet-digits", policy="none"),
    Rung(key="R0'", title="shallower", model=None, policy="none", note="not trained"),
    Rung(key="R3", title="argmax", model="aig-digits", policy="argmax"),
    Rung(key="R4", title="sampled", model="aig-digits", policy="sampled"),
]


@pytest.fixture
def study() -> Study:
    study = make_study()
    return Study(study.plan.model_copy(update={"ladder": RUNGS}), study.rows)


def shares(study: Study, rung: str, attack: str, eps: str | None) -> list[float]:
    found = next(one for one in RUNGS if one.key == rung)
    (rows,) = (
        study.rows[e.id]
        for e in study.plan.evaluations
        if (e.model, e.policy, e.attack, e.threat and e.threat.eps) == (found.model, found.policy, attack, eps)
    )
    return [row["correct_draws"] / row["draws"] for row in rows]


def test_a_step_is_the_mean_difference_on_the_same_images(study: Study, tmp_path: Path) -> None:
    ladder = aggregate(study.write(tmp_path, images=False)).ladder
    assert ladder is not None
    assert [rung.key for rung in ladder.rungs] == ["R0", "R0'", "R3", "R4"]
    measured = {(step.upper, step.lower) for step in ladder.steps}
    assert measured == {("R4", "R0"), ("R3", "R0"), ("R4", "R3")}
    # Clean, two attacks, a control and their union, each at two strengths.
    assert len(ladder.steps) == 3 * (1 + 2 * 4)
    for step in ladder.steps:
        assert step.isolates in {known.isolates for known in STEPS}
        if step.attack == "union":
            continue
        eps = step.threat.eps if step.threat else None
        upper, lower = (shares(study, rung, step.attack, eps) for rung in (step.upper, step.lower))
        differences = [a - b for a, b in zip(upper, lower, strict=True)]
        assert step.difference == pytest.approx(sum(differences) / len(differences))
        assert step.low <= step.difference <= step.high
        assert (step.p_value is None) == ("R4" in (step.upper, step.lower))


def test_without_a_ladder_there_is_none(tmp_path: Path) -> None:
    assert aggregate(make_study().write(tmp_path, images=False)).ladder is None
    write_report(tmp_path)
    assert 'id="ladder"' not in (tmp_path / "report.html").read_text()


def test_the_page_shows_rungs_steps_and_what_is_missing(study: Study, tmp_path: Path) -> None:
    write_report(study.write(tmp_path))
    html = (tmp_path / "report.html").read_text()
    section = html[html.index('id="ladder"') : html.index('id="accuracy"')]
    assert "R4 − R3" in section
    assert "randomness of the gates" in section
    assert "(not trained)" in section
    assert "R3 gated · argmax" in html


def test_a_failed_image_or_an_interval_around_zero_makes_no_finding(study: Study, tmp_path: Path) -> None:
    ladder = aggregate(study.write(tmp_path, images=False)).ladder
    assert ladder is not None
    step = ladder.steps[0].model_copy(update={"low": 0.1, "high": 0.3, "status": "ok"})
    assert distinct(step)
    assert distinct(step.model_copy(update={"low": -0.3, "high": -0.1}))
    assert not distinct(step.model_copy(update={"status": "error"}))
    assert not distinct(step.model_copy(update={"low": -0.1}))
