"""Reports of earlier versions are read and rendered; those of later ones are refused in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustbench_aig.errors import RunError
from robustbench_aig.records import migrations as of
from robustbench_aig.records.documents import load_report
from robustbench_aig.records.migrations import Migration, upgrade
from robustbench_aig.reporting import aggregate, load_plan, write_report
from robustbench_aig.reporting.tables import write_tables

ROOT = Path(__file__).parents[2]

OLDEST = Path(__file__).parent / "data" / "version_1_2026-11-24"
"""Written by the first commit that wrote reports at all (c3f21e1): fewer keys, and fewer columns in the tables."""

Document = dict[str, Any]


def change_file(path: Path, change: Callable[[Document], Document]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_the_oldest_report_there_is_says_what_it_said(tmp_path: Path) -> None:
    directory = shutil.copytree(OLDEST, tmp_path / "copy")
    said = json.loads((OLDEST / "report.json").read_text())
    read, made = load_report(directory), write_report(directory)
    for report in (read, made):
        assert (said["schema_version"], report.schema_version) == ("1", "2")
        for evaluation, before in zip(report.evaluations, said["evaluations"], strict=True):
            now = evaluation.robust_accuracy.model_dump()
            random = {"low", "high", "interval"} if report is made and now["interval"] != "wilson" else set()
            told = before["robust_accuracy"].keys() - random
            assert {key: now[key] for key in told} == {key: before["robust_accuracy"][key] for key in told}
    assert "<h1" in (directory / "report.html").read_text()
    assert write_tables(read, "csv").count("\n") > len(read.evaluations)


def test_a_reference_study_of_version_1_is_read_with_what_it_said_of_its_networks() -> None:
    report = load_report(ROOT / "reports" / "reference" / "depth20-quick")
    plain, gated = report.models
    assert plain.training is not None
    assert plain.training.speed is not None
    assert (plain.training.preset, plain.training.seed, plain.training.speed.on.precision) == ("short", 0, "bf16")
    assert plain.training.test_accuracy == {"none": 0.878}
    assert [gate.stage for gate in gated.gates] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert {model.defence for model in report.models} == {None}


def version_0(document: Document) -> Document:
    """How an earlier version might have called things: `votes` for draws, percent for shares."""
    renamed = document | {"schema_version": "0"}
    if "draws" in renamed:
        renamed["votes"] = renamed.pop("draws")
    for e in renamed["evaluations"]:
        if "clean_accuracy" in e:
            e["clean_accuracy"]["value"] *= 100
    return renamed


def plan_from_0(plan: Document) -> Document:
    return {("draws" if key == "votes" else key): value for key, value in plan.items()}


def report_from_0(report: Document) -> Document:
    for e in report["evaluations"]:
        e["clean_accuracy"]["value"] /= 100
    return report


def as_is(document: Document) -> Document:
    return document


@pytest.fixture
def older(written: Path, tmp_path: Path) -> Path:
    directory = shutil.copytree(written, tmp_path / "older")
    for name in ("plan.json", "report.json"):
        change_file(directory / name, version_0)
    return directory


def test_an_older_version_is_read_and_rendered(older: Path, written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of, "MIGRATIONS", {0: Migration(plan_from_0, report_from_0), 1: Migration(as_is, as_is)})
    assert load_plan(older) == load_plan(written)
    assert aggregate(older) == aggregate(written)
    for now, before in zip(load_report(older).evaluations, load_report(written).evaluations, strict=True):
        assert now.clean_accuracy.value == pytest.approx(before.clean_accuracy.value)
    write_report(older)
    assert (older / "report.html").read_bytes() == (written / "report.html").read_bytes()
    assert json.loads((older / "report.json").read_text())["schema_version"] == "2"


WORDS: Document = {
    "training": {
        "data": "cifar10",
        "epochs": 48,
        "preset": "short",
        "adversarial": "fast, linf 8/255, best epoch 3",
        "initial weights": "plain-s0",
        "seed": 7,
        "validation accuracy": {"argmax": 0.8},
        "test accuracy": {"argmax": 0.7},
        "mean execution rate, test": {"argmax": 0.6},
        "images per second": {"median": 2.0, "low": 1.0, "high": 3.0},
        "trained on": {"device": "cpu", "threads": 1, "processes": 1, "precision": "bf16", "compiled": False},
    },
    "defence": "jpeg:75",
}
"""What version 1 said of a network, as commit 86c19ee wrote it."""


def in_words(document: Document, words: Document) -> Document:
    """A document of version 1 whose networks say this."""
    told = {"imported", "training", "defence"}
    models = [{k: v for k, v in model.items() if k not in told} | words for model in document["models"]]
    for model in models:
        for gate in model["gates"]:
            del gate["stage"]
    return document | {"schema_version": "1", "models": models}


def test_what_version_1_said_in_words_is_read_as_records(written: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(written, tmp_path / "older")
    for name in ("plan.json", "report.json"):
        change_file(directory / name, lambda document: in_words(document, WORDS))
    for models in (load_plan(directory).models, load_report(directory).models):
        for model in models:
            training = model.training
            assert training is not None
            assert training.adversarial is not None
            assert (training.adversarial.method, str(training.adversarial.threat)) == ("fast", "linf 8/255")
            assert (training.adversarial.best_epoch, training.seed, training.preset) == (3, 7, "short")
            assert training.initial is not None
            assert training.speed is not None
            assert (training.initial.run, training.speed.median, training.speed.on.threads) == ("plain-s0", 2.0, 1)
            assert training.test_rates == {"argmax": 0.6}
            assert str(model.defence) == "jpeg:75"
        assert [gate.stage for gate in models[1].gates] == [1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize("words", [{"defence": "blur 3"}, {"training": WORDS["training"] | {"adversarial": "often"}}])
def test_words_that_were_never_said_are_refused(written: Path, tmp_path: Path, words: Document) -> None:
    """Or a hardened network would be compared as an undefended one."""
    directory = shutil.copytree(written, tmp_path / "older")
    change_file(directory / "plan.json", lambda document: in_words(document, words))
    with pytest.raises(RunError, match="never said"):
        load_plan(directory)


def test_without_a_migration_it_is_refused(older: Path) -> None:
    for read in (load_plan, load_report):
        with pytest.raises(RunError, match=r"schema_version is '0', this version reads '2': nothing leads there"):
            read(older)


def test_migrations_are_taken_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def appending(letter: str) -> Callable[[Document], Document]:
        return lambda document: document | {"steps": document.get("steps", "") + letter}

    monkeypatch.setattr(of, "SCHEMA_VERSION", "3")
    monkeypatch.setattr(of, "MIGRATIONS", {v: Migration(appending("p"), appending("abc"[v])) for v in range(3)})
    assert upgrade({"schema_version": "0"}, "report") == {"schema_version": "3", "steps": "abc"}
    assert upgrade({"schema_version": "2"}, "report") == {"schema_version": "3", "steps": "c"}
    assert upgrade({"schema_version": "1"}, "plan") == {"schema_version": "3", "steps": "pp"}
    assert upgrade({"schema_version": "3"}, "plan") == {"schema_version": "3"}


@pytest.mark.parametrize("version", [None, 1, "", "1.0", "one", ["1"]])
def test_what_has_no_version_is_no_report(version: object) -> None:
    with pytest.raises(RunError, match="no report of aigrob, or damaged"):
        upgrade({"schema_version": version}, "report")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ('{"schema_version": "3"}', "schema_version is '3', this version reads '2': it is of a newer aigrob"),
        ('{"schema_version": "2"}', "status: Field required; write it again with: aigrob report"),
    ],
)
def test_a_report_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(RunError, match=message) as caught:
        load_report(tmp_path)
    assert str(caught.value).count("report.json") >= 1
    assert "\n" not in str(caught.value)


def test_a_missing_report_is_told_with_the_way_out(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(RunError, match="is no report"):
        load_report(tmp_path)
    with pytest.raises(RunError, match="write it with: aigrob report"):
        load_report(directory)


def test_version_1_contradicts_itself_no_more(written: Path, tmp_path: Path) -> None:
    """Its bootstrap left out 0 where the exact test beside it didn't reject."""
    directory = shutil.copytree(written, tmp_path / "older")
    (directory / "plan.json").unlink()
    now = load_report(written).comparisons

    def before(report: Document) -> Document:
        report = in_words(report, {"training": {}, "defence": None})
        del report["rules"]
        for one in report["comparisons"]:
            one |= {"low": 0.001, "high": 0.002}
        step: Document = {"upper": "R3", "lower": "R0", "isolates": "", "attack": "clean", "threat": None}
        step |= {"status": "ok", "n": 60, "difference": 0.05, "low": 0.01, "high": 0.09}
        steps = [step | {"p_value": p} for p in (0.2, 0.01)]
        return report | {"ladder": {"rungs": [], "steps": steps}}

    change_file(directory / "report.json", before)
    read = load_report(directory)
    assert read.rules == 1
    for one, expected in zip(read.comparisons, now, strict=True):
        limits = (0.001, 0.002) if one.p_value is None else (expected.low, expected.high)
        assert (one.low, one.high, one.equivalence) == (*limits, expected.equivalence)
    assert read.ladder is not None
    assert [(step.low, step.high) for step in read.ladder.steps] == [(0.0, 0.09), (0.01, 0.09)]
