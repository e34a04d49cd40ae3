"""`aigrob report` on runs, and what it makes of a DIR that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robustbench_aig.runs import HISTORY, RECORD, read_run
from robustbench_aig.training import train
from tests.command import aigrob_here, refused
from tests.reporting import trained
from tests.tiny import job


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with `runs/made`."""
    of = trained.recipe(epochs=2)
    past = trained.history(of)
    trained.write(tmp_path / "runs" / "made", trained.run(of, past, name="made"), past)
    return tmp_path


@pytest.mark.parametrize(("where", "named"), [(".", "made"), (".", "runs/made"), ("runs", "made"), ("runs/made", ".")])
def test_a_run_is_found_by_name_and_by_directory(root: Path, where: str, named: str) -> None:
    result = aigrob_here(root / where, "report", named)
    assert result.returncode == 0, result.stderr
    page = root / "runs" / "made" / "run.html"
    said = result.stdout.strip().removeprefix("run: ")
    assert (root / where / said).resolve() == page.resolve()
    assert "aigrob run: made" in page.read_text()


def test_json_is_the_record(root: Path) -> None:
    (root / "runs").rename(root / "elsewhere")
    result = aigrob_here(root, "report", "made", "--runs", "elsewhere", "--json")
    assert result.returncode == 0, result.stderr
    directory, record = root / "elsewhere" / "made", json.loads(result.stdout)
    assert root / record.pop("directory") == directory
    assert record == read_run(directory).model_dump(mode="json")
    assert (directory / "run.html").exists()


def test_what_is_neither_is_refused(root: Path) -> None:
    refused(aigrob_here(root, "report", "mad"), "no run in runs", "did you mean 'made'")
    refused(aigrob_here(root, "report", "runs"), "is no report directory")
    made = root / "runs" / "made"
    (made / HISTORY).write_text("{}\n")
    refused(aigrob_here(root, "report", "made"), "is damaged")
    (made / RECORD).write_text("{")
    refused(aigrob_here(root, "report", "made"), "is damaged")
    assert not (made / "run.html").exists()


def test_a_training_is_shown_while_it_goes_on_and_after(tmp_path: Path) -> None:
    events = train(job(tmp_path / "runs" / "real", epochs=2), tick=0)
    next(events)
    page = tmp_path / "runs" / "real" / "run.html"
    assert aigrob_here(tmp_path, "report", "real").returncode == 0
    assert "0 of 2 epochs are done" in page.read_text()
    list(events)
    assert aigrob_here(tmp_path, "report", "real").returncode == 0
    record = read_run(tmp_path / "runs" / "real")
    assert record.metrics is not None
    assert record.weights_digest is not None
    assert record.weights_digest in page.read_text()
    tested = record.metrics.test["argmax"]
    assert f"{100 * tested.accuracy:.1f}\u00a0% of {tested.n} test images right" in page.read_text()
