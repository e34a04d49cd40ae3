"""`aigrob train` as a user types it."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from robustbench_aig.cli.app import app
from robustbench_aig.runs import HISTORY, RECORD, RunRecord, read_run
from tests.tiny import result, write_images, write_recipe

AIGROB = [sys.executable, "-m", "robustbench_aig.cli"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two recipes and a folder of images."""
    write_images(tmp_path / "photos")
    write_recipe(tmp_path / "plain.toml", gated=False)
    write_recipe(tmp_path / "gated.toml", gated=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def aigrob(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def train(*arguments: str) -> Result:
    return aigrob("train", "plain.toml", "gated.toml", "--data", "photos", *arguments)


def refused(outcome: Result, words: str, code: int = 2) -> None:
    """One line on stderr that names the cause."""
    assert outcome.exit_code == code, outcome.stderr
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("aigrob: ")
    assert words in line
    assert "Traceback" not in outcome.output


def test_a_pair_is_trained_and_shown(here: Path) -> None:
    outcome = train()
    assert outcome.exit_code == 0, outcome.stderr
    for name in ("photos-plain-s0", "photos-gated-s0"):
        record = read_run(here / "runs" / name)
        assert record.command == "aigrob train plain.toml gated.toml --data photos"
        assert name in outcome.stdout
    assert "sampled" in outcome.stdout
    assert len(outcome.stderr.splitlines()) == 6  # a line per epoch and model
    assert "epoch 3/3" in outcome.stderr


def test_json_is_one_document_and_quiet_is_silent(here: Path) -> None:
    outcome = train("--json", "--quiet", "--epochs", "1", "--seed", "3")
    assert outcome.stderr == ""
    runs = json.loads(outcome.stdout)["runs"]
    assert [run["directory"] for run in runs] == ["runs/photos-plain-s3", "runs/photos-gated-s3"]
    for run in runs:
        directory = run.pop("directory")
        assert RunRecord.model_validate_json(json.dumps(run)) == read_run(here / directory)


def test_a_finished_run_is_kept_refused_or_overwritten(here: Path) -> None:
    assert train("--epochs", "1").exit_code == 0
    first = read_run(here / "runs" / "photos-gated-s0")
    refused(train("--epochs", "1"), "already trained")
    refused(train("--epochs", "2", "--resume"), "epochs was 1, now 2")
    refused(train("--resume", "--overwrite"), "choose one")
    kept = train("--epochs", "1", "--resume")
    assert kept.exit_code == 0
    assert kept.stderr.count("already trained") == 2
    assert read_run(here / "runs" / "photos-gated-s0") == first
    assert train("--epochs", "2", "--overwrite").exit_code == 0
    assert read_run(here / "runs" / "photos-gated-s0").recipe.training.epochs == 2


def test_a_run_can_be_named(here: Path) -> None:
    outcome = aigrob("train", "plain.toml", "--data", "photos", "--name", "mine", "--out", "elsewhere", "--epochs", "1")
    assert outcome.exit_code == 0
    assert read_run(here / "elsewhere" / "mine").name == "mine"
    refused(train("--name", "mine"), "exactly one MODEL")
    refused(aigrob("train", "plain.toml", "plain.toml", "--data", "photos"), "--name")


def test_the_default_pair_suits_the_size_of_the_images(here: Path) -> None:
    for size, gated in ((8, "digits/aig14"), (24, "cifar10/aig20")):
        root = write_images(here / f"images{size}", size=(size, size))
        outcome = aigrob("train", "--data", str(root), "--epochs", "1", "--json")
        assert [run["recipe_name"] for run in json.loads(outcome.stdout)["runs"]][1] == gated


def test_scaled_images_are_mentioned(here: Path) -> None:
    outcome = train("--image-size", "10", "--epochs", "1")
    assert "scaled and cropped to 10×10" in outcome.stderr
    assert read_run(here / "runs" / "photos-plain-s0").data.shape == (3, 10, 10)


def truncate_image(root: Path) -> None:
    path = root / "photos" / "train" / "cat" / "7.png"
    path.write_bytes(path.read_bytes()[:50])


def remove_class(root: Path) -> None:
    for split in ("train", "test"):
        shutil.rmtree(root / "photos" / split / "dog")


def remove_images(root: Path) -> None:
    for path in (root / "photos").rglob("*.png"):
        path.unlink()


def add_class_to_test(root: Path) -> None:
    (root / "photos" / "test" / "bird").mkdir()


def edit(old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / "gated.toml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def half_written_run(root: Path) -> None:
    (root / "runs" / "photos-gated-s0").mkdir(parents=True)
    (root / "runs" / "photos-gated-s0" / RECORD).write_text('{"name": "photos-g')


def file_in_the_way(root: Path) -> None:
    (root / "runs").write_text("no folder")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (truncate_image, "photos/train/cat/7.png"),
        (remove_class, "only one class"),
        (remove_images, "no images in"),
        (add_class_to_test, "class 'bird'"),
        (lambda root: shutil.rmtree(root / "photos" / "test"), "no folder test/"),
        (lambda root: shutil.rmtree(root / "photos"), "unknown data set 'photos'"),
        (lambda root: (root / "gated.toml").unlink(), "gated.toml cannot be read"),
        (edit("depth = 8", "depht = 8"), "did you mean 'depth'"),
        (edit("depth = 8", "depth = 9"), "6n + 2"),
        (edit("epochs = 3", 'epochs = "3"'), "training.epochs"),
        (edit("[model]", "[model"), "not valid TOML"),
        (half_written_run, "is damaged"),
        (file_in_the_way, "runs"),
    ],
)
def test_bad_input_is_one_line(here: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(here)
    refused(train(), words)
    assert not list(here.glob("runs/*/model.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "aig41"], "did you mean 'aig14'"),
        (["train", "--data", "cifar"], "did you mean 'cifar10'"),
        (["train", "--data", "no/where"], "no folder no/where"),
        (["train", "--epochs", "0"], "--epochs"),
        (["train", "--epohcs", "3"], "Did you mean '--epochs'"),
        (["train", "--device", "tpu"], "--device"),
        (["trian"], "did you mean 'train'"),
    ],
)
def test_bad_usage_is_one_line(here: Path, arguments: list[str], words: str) -> None:
    refused(aigrob(*arguments), words)


def test_cuda_where_there_is_none(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    refused(train("--device", "cuda"), "no CUDA device")


def test_a_full_disk_is_one_line_and_leaves_a_run_that_resumes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        refused(train(), "No space left on device")
    assert train("--resume").exit_code == 0


def test_an_unexpected_error_is_one_line_unless_debugged(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("robustbench_aig.cli.train.load_data", broken)
    refused(train(), "internal error, ZeroDivisionError: by zero", code=1)
    monkeypatch.setenv("AIGROB_DEBUG", "1")
    assert isinstance(train().exception, ZeroDivisionError)


def test_help_names_every_command_without_torch(here: Path) -> None:
    code = (
        "import sys\nfrom robustbench_aig.cli.app import app\n"
        "try: app(['--help'])\nfinally: assert not {'torch', 'rich', 'pydantic'} & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert all(name in shown.stdout for name in ("train", "attack", "report", "demo", "models", "attacks"))
    for arguments in ([], ["--version"], ["train", "--help"]):
        assert aigrob(*arguments).exit_code == 0


def started(here: Path, *arguments: str) -> subprocess.Popen[str]:
    """A training in a process of its own, a few epochs in."""
    command = [*AIGROB, "train", "gated.toml", "--data", "photos", "--epochs", "60", "--quiet", *arguments]
    process = subprocess.Popen(command, cwd=here, stderr=subprocess.PIPE, text=True)
    history = here / "runs" / "photos-gated-s0" / HISTORY
    end = time.monotonic() + 60
    while not history.exists() or len(history.read_text().splitlines()) < 3:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    return process


def test_killed_and_resumed_equals_uninterrupted(here: Path) -> None:
    process = started(here)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    directory = here / "runs" / "photos-gated-s0"
    epochs = len((directory / HISTORY).read_text().splitlines())
    assert 3 <= epochs < 60
    rest = ["train", "gated.toml", "--data", "photos", "--epochs", "60", "--quiet"]
    refused(aigrob(*rest), "holds an unfinished training")
    assert aigrob(*rest, "--resume").exit_code == 0
    assert aigrob(*rest, "--out", "whole").exit_code == 0
    assert result(directory) == result(here / "whole" / "photos-gated-s0")


def test_ctrl_c_says_how_to_resume(here: Path) -> None:
    process = started(here)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 3
    (line,) = told.splitlines()
    assert line.startswith("aigrob: photos-gated-s0: interrupted")
    assert line.endswith("aigrob train gated.toml --data photos --epochs 60 --quiet --resume")
    assert read_run(here / "runs" / "photos-gated-s0", unfinished=True).status == "training"
