"""A report on a cascade: skipped images are lost to the union, and to nothing else are they anything."""

from pathlib import Path
from statistics import fmean

import pytest

from robustbench_aig.records import Evaluation, Report
from robustbench_aig.reporting import aggregate, write_report
from robustbench_aig.reporting.series import accuracy_of, all_series, before, headline, remainder_of
from robustbench_aig.reporting.words import movement, right_of_those, run_on
from robustbench_aig.threat import Threat
from tests.reporting.synthetic import (
    EPSILONS,
    MODELS,
    N,
    Row,
    cascaded,
    evaluation,
    make_study,
    skip,
    threat,
    with_many_attacks,
)


@pytest.fixture(scope="module")
def rows() -> dict[str, list[Row]]:
    return cascaded(make_study()).rows


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return aggregate(cascaded(make_study()).write(tmp_path_factory.mktemp("cascade")))


@pytest.fixture(scope="module")
def whole(directory: Path) -> Report:
    return aggregate(directory)


def found(report: Report, model: str, policy: str, attack: str, eps: str) -> Evaluation:
    name = evaluation(model, policy, attack, "attack", eps).id
    return next(e for e in report.evaluations if e.id == name)


def measured(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["status"] == "ok"]


def test_the_union_of_deterministic_gates_is_that_without_a_cascade(report: Report, whole: Report) -> None:
    assert len(report.worst_case) == len(whole.worst_case) == len(MODELS) * len(EPSILONS)
    for one, other in zip(report.worst_case, whole.worst_case, strict=True):
        assert one.status == "ok"
        if one.gate_policy != "sampled":
            assert one.accuracy == other.accuracy


def test_an_evaluation_counts_what_it_skipped_and_describes_the_rest(
    report: Report, rows: dict[str, list[Row]]
) -> None:
    assert report.status == "complete"
    for e in report.evaluations:
        mine = measured(rows[e.id])
        assert (e.skipped, e.errors, e.status, e.n) == (N - len(mine), 0, "ok", N)
        assert e.robust_accuracy.value == pytest.approx(sum(r["correct_draws"] / r["draws"] for r in mine) / N)
        assert e.compute is not None
        assert e.compute.adversarial_macs == pytest.approx(fmean(row["macs_adv"] for row in mine))
        assert e.cost.forwards == pytest.approx(fmean(row["forwards"] for row in mine))
        assert e.role == "attack" or not e.skipped
    assert found(report, "aig-digits", "argmax", "pgd", "8/255").skipped > 0


def test_noise_is_compared_on_the_images_that_the_attack_saw(report: Report, rows: dict[str, list[Row]]) -> None:
    e = found(report, "aig-digits", "argmax", "pgd", "8/255")
    seen = {row["image"] for row in measured(rows[e.id])}
    noise = rows[evaluation("aig-digits", "argmax", "corners", "control", "8/255").id]
    flips = [
        (int.from_bytes(row["gates_clean"], "big") ^ int.from_bytes(row["gates_adv"], "big")).bit_count() / 9
        for row in noise
        if row["image"] in seen
    ]
    assert e.gates is not None
    assert e.gates.noise_flip_rate == pytest.approx(fmean(flips))


def test_what_an_attack_kept_of_its_remainder_is_compared_with_nothing(report: Report) -> None:
    assert {c.attack for c in report.comparisons} == {"clean", "corners", "union"}
    for series in all_series(report):
        for eps in EPSILONS:
            assert accuracy_of(report, series, "pgd", threat(eps)) is None
            assert accuracy_of(report, series, "union", threat(eps)) is not None


def test_the_headline_is_what_saw_most_images(report: Report) -> None:
    for series in all_series(report):
        e = headline(report.evaluations, series.model, series.policy)
        assert e is not None
        assert (e.attack, e.threat) == ("fgsm", threat("8/255"))


def test_words(report: Report) -> None:
    e = found(report, "aig-digits", "argmax", "pgd", "8/255")
    count = N - e.skipped
    assert before(report, e) == ["fgsm"]
    kept = 100 * e.robust_accuracy.value * N / count
    assert right_of_those(e, ["fgsm"]) == f"{kept:.1f}\u00a0% of the {count} images still classified right after fgsm"
    assert run_on(e, ["fgsm", "pgd"]) == f"the {count} images still classified right after fgsm and pgd"
    assert run_on(e, ["fgsm", "pgd", "apgd"]) == f"the {count} images still classified right after 3 earlier attacks"
    assert f", on the {count} images" not in movement("the model", e, report.models[1], [])
    assert f" on the {count} images still classified right after fgsm, " in movement(
        "the model", e, report.models[1], ["fgsm"]
    )
    series = next(one for one in all_series(report) if one.policy == "argmax")
    rest = remainder_of(report, series, "pgd", Threat.parse("8/255"))
    assert rest is not None
    assert (rest.evaluation, rest.before) == (e, ["fgsm"])


def test_the_page_says_so(tmp_path: Path) -> None:
    write_report(cascaded(make_study()).write(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert "This is a cascade" in page
    assert "images still classified right after fgsm" in page
    assert "Every attack ran on every image" not in page


def test_where_only_the_union_is_drawn_no_attack_is_said_to_be(tmp_path: Path) -> None:
    for name, study in (("all", make_study()), ("cascade", cascaded(make_study()))):
        write_report(with_many_attacks(study).write(tmp_path / name))
    drawn = {name: "The charts show" in (tmp_path / name / "report.html").read_text() for name in ("all", "cascade")}
    assert drawn == {"all": True, "cascade": False}


def test_an_attack_that_nothing_was_left_for(tmp_path: Path) -> None:
    study = cascaded(make_study())
    name = evaluation("aig-digits", "argmax", "pgd", "attack", "8/255").id
    before_it = evaluation("aig-digits", "argmax", "fgsm", "attack", "8/255").id
    for row in study.rows[before_it]:
        row.update(correct_draws=0, choice_correct=0)
    for row in study.rows[name]:
        skip(row, row["lost_to"] or "fgsm")
    report = write_report(study.write(tmp_path))
    e = next(e for e in report.evaluations if e.id == name)
    assert (e.skipped, e.gates, e.compute, e.distance) == (N, None, None, None)
    assert "no image still classified right after fgsm" in (tmp_path / "report.html").read_text()
    union = next(w for w in report.worst_case if (w.gate_policy, w.threat.eps) == ("argmax", "8/255"))
    assert union.accuracy.value == 0
