"""Reports of earlier versions are read and rendered; those of later ones are refused in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustbench_aig.errors import RunError
from robustbench_aig.reporting import aggregate, load_plan, write_report
from robustbench_aig.reporting import migrations as of
from robustbench_aig.reporting.documents import load_report
from robustbench_aig.reporting.migrations import Migration, upgrade
from robustbench_aig.reporting.tables import write_tables

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
        assert report.schema_version == said["schema_version"] == "1"
        for evaluation, before in zip(report.evaluations, said["evaluations"], strict=True):
            now = evaluation.robust_accuracy.model_dump()
            assert {key: now[key] for key in before["robust_accuracy"]} == before["robust_accuracy"]
    assert "<h1" in (directory / "report.html").read_text()
    assert write_tables(read, "csv").count("\n") > len(read.evaluations)


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


@pytest.fixture
def older(written: Path, tmp_path: Path) -> Path:
    directory = shutil.copytree(written, tmp_path / "older")
    for name in ("plan.json", "report.json"):
        change_file(directory / name, version_0)
    return directory


def test_an_older_version_is_read_and_rendered(older: Path, written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(of.MIGRATIONS, 0, Migration(plan_from_0, report_from_0))
    assert load_plan(older) == load_plan(written)
    assert aggregate(older) == aggregate(written)
    for now, before in zip(load_report(older).evaluations, load_report(written).evaluations, strict=True):
        assert now.clean_accuracy.value == pytest.approx(before.clean_accuracy.value)
    write_report(older)
    assert (older / "report.html").read_bytes() == (written / "report.html").read_bytes()
    assert json.loads((older / "report.json").read_text())["schema_version"] == "1"


def test_without_a_migration_it_is_refused(older: Path) -> None:
    for read in (load_plan, load_report):
        with pytest.raises(RunError, match=r"schema_version is '0', this version reads '1': nothing leads there"):
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
        ('{"schema_version": "2"}', "schema_version is '2', this version reads '1': it is of a newer aigrob"),
        ('{"schema_version": "1"}', "status: Field required; write it again with `aigrob report"),
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
    with pytest.raises(RunError, match="write it with `aigrob report"):
        load_report(directory)
