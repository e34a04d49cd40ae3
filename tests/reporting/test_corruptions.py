"""Means over corruptions against plain counting, beside attacks and alone, and what the page says of them."""

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from robustbench_aig.cli.tables import report_table
from robustbench_aig.errors import RunError
from robustbench_aig.ladder import STEPS
from robustbench_aig.records import Report, Rung, report_json_schema
from robustbench_aig.reporting import aggregate, words, write_report
from robustbench_aig.reporting.corruptions import asked
from tests.reporting.synthetic import MODELS, Study, corrupted, fail, make_study

KINDS = {"gaussian-noise": [1, 2, 5], "jpeg": [1, 2, 5]}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corruptions, and no attack at all."""
    path = corrupted(make_study(), KINDS, alone=True).write(tmp_path_factory.mktemp("alone"))
    write_report(path)
    return path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corruptions beside attacks."""
    path = corrupted(make_study(), KINDS).write(tmp_path_factory.mktemp("both"))
    write_report(path)
    return path


def shares(study: Study, model: str, policy: str, name: str, severity: int) -> np.ndarray:
    """Each image's share of right draws."""
    (rows,) = (
        study.rows[e.id]
        for e in study.plan.evaluations
        if (e.model, e.policy, e.attack) == (model, policy, f"{name}:{severity}")
    )
    return np.array([row["correct_draws"] / row["draws"] for row in rows])


def text_of(directory: Path) -> str:
    html = re.sub(r"<(style|script).*?</\1>", "", (directory / "report.html").read_text(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)).replace("&nbsp;", " ").replace("\xa0", " ")


@pytest.mark.parametrize(("model", "policy"), MODELS)
def test_a_mean_is_over_severities_and_then_over_kinds(both: Path, model: str, policy: str) -> None:
    study, report = corrupted(make_study(), KINDS), aggregate(both)
    found = {m.name: m for m in report.corruptions if (m.model, m.gate_policy) == (model, policy)}
    assert list(found) == ["gaussian-noise", "jpeg", None]
    each: dict[str | None, np.ndarray] = {
        name: np.mean([shares(study, model, policy, name, severity) for severity in KINDS[name]], axis=0)
        for name in KINDS
    }
    kinds = {**each, None: np.mean(list(each.values()), axis=0)}
    rng = np.random.default_rng(0)
    for name, per_image in kinds.items():
        accuracy = found[name].accuracy
        assert (found[name].severities, found[name].status) == ([1, 2, 5], "ok")
        assert accuracy.value == pytest.approx(per_image.mean())
        assert (accuracy.interval, accuracy.count, accuracy.majority, accuracy.all_right) == (
            "student", None, None, None,
        )  # fmt: skip
        resampled = rng.choice(per_image, (4000, per_image.size)).mean(axis=1)
        assert [accuracy.low, accuracy.high] == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.02)


def test_gated_is_compared_with_plain_under_each_and_over_all(both: Path) -> None:
    study, report = corrupted(make_study(), KINDS), aggregate(both)
    found = {(c.gate_policy, c.attack): c for c in report.comparisons}
    for policy in ("argmax", "sampled"):
        differences = []
        for name, severities in KINDS.items():
            for severity in severities:
                gated = shares(study, "aig-digits", policy, name, severity)
                each = gated - shares(study, "resnet-digits", "none", name, severity)
                comparison = found[policy, f"{name}:{severity}"]
                assert comparison.threat is None
                assert comparison.difference == pytest.approx(each.mean())
                assert comparison.only_gated == pytest.approx(each[each > 0].sum())
                assert (comparison.p_value is None) == (policy == "sampled")
                differences.append(each)
        over_all = found[policy, "corruptions"]
        assert over_all.difference == pytest.approx(np.mean(differences))
        assert over_all.low < over_all.difference < over_all.high
        assert over_all.p_value is None


def test_one_severity_is_its_own_mean(tmp_path: Path) -> None:
    report = aggregate(corrupted(make_study(), {"jpeg": [3]}, alone=True).write(tmp_path, images=False))
    assert [m.name for m in report.corruptions] == ["jpeg", None] * 3
    for e in report.evaluations:
        for m in report.corruptions:
            if e.corruption and (m.model, m.gate_policy) == (e.model, e.gate_policy):
                assert m.accuracy.value == e.robust_accuracy.value
                assert (m.accuracy.low, m.accuracy.high) == (e.robust_accuracy.low, e.robust_accuracy.high)


def test_attacks_are_what_they_are_without_corruptions(both: Path, tmp_path: Path) -> None:
    report = aggregate(both)
    without = aggregate(make_study().write(tmp_path, images=False))
    assert report.worst_case == without.worst_case
    attacked = {e.id: e.model_copy(update={"cost": None}) for e in report.evaluations if not e.corruption}
    assert attacked == {e.id: e.model_copy(update={"cost": None}) for e in without.evaluations}
    of_corruptions = {"corruptions", *(e.attack for e in report.evaluations if e.corruption)}
    # The family of comparisons that Holm's method corrects for is larger.
    alike, others = (
        [c.model_copy(update={"holm_p": None}) for c in found if c.attack not in of_corruptions]
        for found in (report.comparisons, without.comparisons)
    )
    assert alike == others


def test_kinds_at_unlike_severities_have_no_common_mean(tmp_path: Path) -> None:
    write_report(corrupted(make_study(), {"jpeg": [1, 2], "fog": [3]}, alone=True).write(tmp_path))
    report = aggregate(tmp_path)
    assert {m.name for m in report.corruptions} == {"jpeg", "fog"}
    assert "corruptions" not in {c.attack for c in report.comparisons}
    assert "There is no mean over all corruptions" in text_of(tmp_path)


def test_what_is_unfinished_has_no_mean(tmp_path: Path) -> None:
    study = corrupted(make_study(), KINDS, alone=True)
    study.write(tmp_path)
    (tmp_path / "samples" / "resnet-digits-none-jpeg-5-none.parquet").unlink()
    report = write_report(tmp_path)
    assert report.status == "partial"
    plain = [m.name for m in report.corruptions if m.model == "resnet-digits"]
    assert plain == ["gaussian-noise"]
    assert {m.name for m in report.corruptions if m.model == "aig-digits"} == {*KINDS, None}
    assert "not measured" in text_of(tmp_path)


def test_nothing_finished_still_renders(tmp_path: Path) -> None:
    corrupted(make_study(), KINDS, alone=True).write(tmp_path, images=False)
    for path in (tmp_path / "samples").iterdir():
        path.unlink()
    assert write_report(tmp_path).corruptions == []
    assert "No mean over the corruptions is finished yet." in text_of(tmp_path)


def test_failed_images_are_lost_and_said(tmp_path: Path) -> None:
    study = corrupted(make_study(), KINDS, alone=True)
    rows = study.rows["aig-digits-argmax-jpeg-2-none"]
    right = sum(row["correct_draws"] for row in rows)
    lost = [row for row in rows if row["correct_draws"]][:3]
    for row in lost:
        fail(row)
    report = write_report(study.write(tmp_path))
    mine = {m.name: m for m in report.corruptions if m.gate_policy == "argmax"}
    assert (mine["jpeg"].status, mine[None].status, mine["gaussian-noise"].status) == ("error", "error", "ok")
    (measured,) = [e for e in report.evaluations if e.gate_policy == "argmax" and e.attack == "jpeg:2"]
    assert measured.robust_accuracy.count == right - 3
    text = text_of(tmp_path)
    assert "3 of 60 images: jpeg:2 on gated · argmax" in text
    assert "failed images count as misclassified, so this is no verdict" in text


@pytest.mark.parametrize("attacked", [False, True])
def test_every_accuracy_stands_on_the_page(alone: Path, both: Path, attacked: bool) -> None:
    directory = both if attacked else alone
    report, text = Report.model_validate_json((directory / "report.json").read_text()), text_of(directory)
    accuracies = [e.robust_accuracy for e in report.evaluations] + [m.accuracy for m in report.corruptions]
    assert len(accuracies) == (3 * (1 + 6 + 6) if attacked else 3 * (1 + 6)) + 3 * 3
    for accuracy in accuracies:
        assert words.accuracy_text(accuracy).replace("\xa0", " ") in text
    assert "These are not the images of CIFAR-10-C" in text
    assert ("Accuracy by perturbation budget ε" in text) == attacked
    assert ("How accurate are these networks on corrupted images?" in text) != attacked
    assert ("No attacks were run" in text) != attacked
    html = (directory / "report.html").read_text()
    anchors = set(re.findall(r'<a href="#([\w-]+)"', html))
    assert anchors <= set(re.findall(r' id="([\w-]+)"', html))
    assert ("gallery" in anchors) == attacked
    assert "corruptions" in anchors


def test_the_verdict_is_on_the_first_screen(alone: Path) -> None:
    report, text = aggregate(alone), text_of(alone)
    for c in report.comparisons:
        if c.attack == "corruptions":
            found = f"difference {words.signed(c.difference)} points {words.around(c.low, c.high)}"
            assert (found.replace("\xa0", " ") in text) == (c.gate_policy == "argmax")
    assert "gaussian-noise and jpeg at severity 1, 2 and 5" in text


def test_files_are_told_with_their_digests(tmp_path: Path) -> None:
    write_report(corrupted(make_study(), {"fog": [1, 5]}, alone=True, source="ab12" * 16).write(tmp_path))
    text = text_of(tmp_path)
    assert "ab12" * 16 in text
    assert "These are not the images of CIFAR-10-C" not in text


def test_without_corruptions_the_page_has_none(written: Path) -> None:
    html = (written / "report.html").read_text()
    assert 'id="corruptions"' not in html
    assert "#corruptions" not in html


def test_report_follows_its_schema(alone: Path) -> None:
    content = json.loads((alone / "report.json").read_text())
    jsonschema.validate(content, report_json_schema(), cls=jsonschema.Draft202012Validator)


def test_ladders_have_steps_under_corruptions(tmp_path: Path) -> None:
    rungs = [
        Rung(key="R0", title="plain", model="resnet-digits", policy="none"),
        Rung(key="R3", title="argmax", model="aig-digits", policy="argmax"),
    ]
    study = corrupted(make_study(), {"jpeg": [1, 2]})
    plan = study.plan.model_copy(update={"ladder": rungs})
    ladder = write_report(Study(plan, study.rows).write(tmp_path)).ladder
    assert ladder is not None
    steps = {step.attack: step for step in ladder.steps if step.threat is None}
    assert set(steps) == {"clean", "jpeg:1", "jpeg:2", "corruptions"}
    difference = np.mean([steps["jpeg:1"].difference, steps["jpeg:2"].difference])
    assert steps["corruptions"].difference == pytest.approx(difference)
    assert {step.isolates for step in ladder.steps} <= {isolates for *_, isolates in STEPS}


def test_the_terminal_has_one_line_for_each_kind(both: Path) -> None:
    report = aggregate(both)
    table = report_table(report)
    threats, attacks, plain, *_ = (list(column.cells) for column in table.columns)
    assert attacks[-3:] == ["gaussian-noise", "jpeg", "mean"]
    assert threats[-3:] == ["corruption", "", ""]
    values = [m.accuracy.value for m in report.corruptions if m.model == "resnet-digits"]
    assert plain[-3:] == [f"{100 * value:.1f}" for value in values]
    assert not any(":" in str(attack) for attack in attacks)


@pytest.mark.parametrize(
    ("id_", "change", "message"),
    [
        ("aig-digits-argmax-jpeg-2-none", {"corruption": None}, "role 'corruption' and must have corruption"),
        ("aig-digits-argmax-clean-none", {"role": "corruption"}, "must have corruption"),
        ("aig-digits-argmax-jpeg-2-none", {"role": "clean"}, "must have neither threat nor corruption"),
        ("aig-digits-argmax-jpeg-2-none", {"role": "attack"}, "must have threat"),
    ],
)
def test_a_plan_that_contradicts_itself(tmp_path: Path, id_: str, change: dict[str, object], message: str) -> None:
    study = corrupted(make_study(), {"jpeg": [2]})
    planned = [e.model_copy(update=change if e.id == id_ else {}) for e in study.plan.evaluations]
    Study(study.plan.model_copy(update={"evaluations": planned}), study.rows).write(tmp_path, images=False)
    with pytest.raises(RunError, match=message):
        aggregate(tmp_path)


def test_rows_of_another_severity_are_refused(tmp_path: Path) -> None:
    study = corrupted(make_study(), {"jpeg": [2]})
    study.rows["aig-digits-argmax-jpeg-2-none"][7]["threat"] = "corruption jpeg 3"
    with pytest.raises(RunError, match="the plan says 'corruption jpeg 2'"):
        aggregate(study.write(tmp_path, images=False))


def test_words() -> None:
    corruptions = [e.corruption for e in corrupted(make_study(), {"jpeg": [1, 3]}).plan.evaluations if e.corruption]
    assert asked(corruptions) == "jpeg at severity 1 and 3"
    unlike = [e.corruption for e in corrupted(make_study(), {"a": [1], "b": [1, 2]}).plan.evaluations if e.corruption]
    assert asked(unlike) == "a at severity 1, b at severity 1 and 2"


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_and_is_accessible(browser: Browser, alone: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((alone / "report.html").as_uri())
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [(v["id"], [node["html"][:120] for node in v["nodes"][:3]]) for v in found] == []
    assert complaints == []
    page.close()
