"""Released runs: whole, found by name, and described by what they are."""

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from robustbench_aig import runs
from robustbench_aig.errors import RunError
from robustbench_aig.runs import HISTORY, RECORD, WEIGHTS, find_run, list_runs, read_history, read_run
from robustbench_aig.training import load_model, train
from tests.command import aigrob_here, refused, start
from tests.tiny import job
from tools import releasing
from tools.releasing import card, release, table

RELEASED = sorted(path.parent for path in runs.released().glob(f"*/{RECORD}"))
README = runs.released() / "README.md"
DATA = os.environ.get("AIGROB_EVIDENCE_DATA", "")


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.name)
def test_a_released_run_is_whole(path: Path) -> None:
    assert find_run(path.name, Path("nowhere")) == path
    record = read_run(path)
    assert record.name == path.name
    assert (path / "README.md").read_text() == card(record, path)
    assert (path / WEIGHTS).stat().st_size < 1_500_000
    assert {file.name for file in path.iterdir()} == {RECORD, WEIGHTS, HISTORY, "README.md"}
    training = record.recipe.training
    assert training
    history = read_history(path)
    assert len(history) == training.epochs or record.stopped
    # A path of the machine would be of no use to anybody.
    assert not re.search(r'"/|[ =]/\w', (path / RECORD).read_text())
    # The digest is checked, and the network computes.
    network = load_model(path)
    with torch.no_grad():
        assert network(torch.full((1, *record.data.shape), 0.5)).isfinite().all()


@pytest.mark.evidence
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not DATA, reason="needs the images of the released networks: make evidence DATA=DIR")
@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.name)
def test_the_command_on_the_card_trains_the_same_first_epoch(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit of every mean, with torch's version of then. All epochs would take hours for each network."""
    record = read_run(path)
    said = re.search(r"`OMP_NUM_THREADS=(\d+) aigrob (.*)`", (path / "README.md").read_text())
    assert said
    monkeypatch.setenv("OMP_NUM_THREADS", said[1])
    (tmp_path / record.data.name).symlink_to(Path(DATA).absolute())
    training = start(tmp_path, *said[2].split(), "--quiet")
    history = tmp_path / "runs" / path.name / HISTORY
    while training.poll() is None and not (history.exists() and history.read_text().endswith("\n")):
        time.sleep(0.2)
    training.terminate()
    stderr = training.communicate()[1]
    assert training.returncode == 3, stderr

    def first(directory: Path) -> dict[str, Any]:
        line: dict[str, Any] = json.loads((directory / HISTORY).read_text().splitlines()[0])
        return {key: value for key, value in line.items() if key not in {"seconds", "images_per_second"}}

    ours, theirs = first(history.parent), first(path)
    # What is measured since then, beside training, they don't say.
    assert {key: ours[key] for key in theirs} == theirs


def test_the_readme_shows_the_table() -> None:
    assert table(record for _, record in list_runs(runs.released())) in README.read_text()


@pytest.mark.skipif(not RELEASED, reason="nothing is released yet")
def test_released_runs_are_attacked_by_name_on_images_that_the_user_names(tmp_path: Path) -> None:
    name = RELEASED[0].name
    result = aigrob_here(tmp_path, "attack", name, "--eps", "1/255")
    refused(result, "the images of cifar10-jpeg are not at cifar10-jpeg", "--data DIR")
    refused(aigrob_here(tmp_path, "attack", f"{name}x", "--eps", "1/255"), f"did you mean '{name}'")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of released runs of its own."""
    (tmp_path / "released").mkdir()
    (tmp_path / "released" / "README.md").write_text("<!-- table -->\n<!-- /table -->\n")
    for module in (runs, releasing):
        monkeypatch.setattr(module, "released", lambda: tmp_path / "released")
    return tmp_path / "released"


def test_releasing_copies_a_run_without_the_place_of_its_images(tmp_path: Path, shelf: Path) -> None:
    done = job(tmp_path / "mine", epochs=1)
    list(train(done))
    content = json.loads((done.directory / RECORD).read_text())
    content["data"]["source"] = "/home/somebody/photos"
    content["command"] = "aigrob train gated --data /home/somebody/photos --out /home/somebody/runs --seed 0"
    (done.directory / RECORD).write_text(json.dumps(content))
    target = release(done.directory)
    releasing.write_table()
    assert target == shelf / "mine"
    assert read_run(target).data.source == "digits"
    assert (target / WEIGHTS).read_bytes() == (done.directory / WEIGHTS).read_bytes()
    said = (target / "README.md").read_text()
    metrics = read_run(target).metrics
    assert metrics
    for words in (
        "seed 0",
        "`OMP_NUM_THREADS=1 aigrob train gated --data digits --seed 0`",
        "argmax",
        "sampled",
        f"{metrics.test['argmax'].accuracy:.2%}",
    ):
        assert words in said
    assert "`mine`" in (shelf / "README.md").read_text()
    load_model(target)


def test_changed_weights_are_not_released(tmp_path: Path, shelf: Path) -> None:
    done = job(tmp_path / "mine", epochs=1)
    list(train(done))
    changed = shutil.copytree(done.directory, tmp_path / "changed")
    (changed / WEIGHTS).write_bytes(b"other")
    with pytest.raises(RunError, match="was changed after the training"):
        release(changed)
    assert not (shelf / "changed").exists()
