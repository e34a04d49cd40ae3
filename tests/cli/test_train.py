"""`aigrob train` as a user types it, on networks that train in seconds."""

import json
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from robustbench_aig.runs import CHECKPOINT, HISTORY
from tests.command import aigrob_here, refused, start
from tests.tiny import result, write_images, write_recipe


@pytest.fixture
def where(tmp_path: Path) -> Path:
    """A working directory with a recipe and a folder of images."""
    write_recipe(tmp_path / "tiny.toml", gated=True)
    write_images(tmp_path / "photos")
    return tmp_path


def test_a_recipe_of_ones_own_on_a_folder(where: Path) -> None:
    trained = aigrob_here(where, "train", "tiny.toml", "--data", "photos", "--name", "mine")
    assert trained.returncode == 0, trained.stderr
    assert "mine" in trained.stdout
    assert "argmax" in trained.stdout
    assert "sampled" in trained.stdout
    assert trained.stderr.count("epoch ") == 3
    run = where / "runs" / "mine"
    assert {path.name for path in run.glob("[!.]*")} == {"run.json", "model.safetensors", "history.jsonl", "run.html"}
    assert str(Path("runs", "mine", "run.html")) in trained.stdout
    assert trained.stdout.rstrip().endswith("next: aigrob attack mine")
    for line in (run / HISTORY).read_text().splitlines():
        epoch = json.loads(line)
        assert len(epoch["train_rates"]) == len(epoch["validation"]["argmax"]["rates"]) == 3
    attacked = aigrob_here(where, "attack", "mine", "--eps", "8/255", "--attack", "fgsm")
    assert attacked.returncode == 0, attacked.stderr


def test_networks_that_have_learned_nothing_are_named(where: Path) -> None:
    """Six images, half of them of one class: 6 right are told from guessing (Wilson's 61 %), 5 aren't (44 %)."""
    named = []
    for epochs in ("1", "30"):
        trained = aigrob_here(
            where, "train", "tiny.toml", "--data", "photos", "--epochs", epochs, "--name", f"e{epochs}"
        )
        tested = json.loads((where / "runs" / f"e{epochs}" / "run.json").read_text())["metrics"]["test"]
        for policy, score in tested.items():
            said = f"e{epochs} ({policy}): {score['accuracy']:.1%} of the test images, and 50.0% have" in trained.stderr
            assert said == (score["accuracy"] * 6 < 5.5), (policy, score)
            named.append(said)
    assert len(set(named)) == 2, "one epoch is too few, thirty are enough"


def test_names_epochs_and_json(where: Path) -> None:
    arguments = ["train", "tiny.toml", "--data", "photos", "--epochs", "1", "--seed", "3", "--json", "--quiet"]
    trained = aigrob_here(where, *arguments)
    assert trained.returncode == 0, trained.stderr
    assert trained.stderr == ""
    (run,) = json.loads(trained.stdout)["runs"]
    assert (run["name"], run["seed"], run["recipe"]["training"]["epochs"]) == ("photos-tiny-s3", 3, 1)
    assert set(run["metrics"]["test"]) == {"argmax", "sampled"}


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=[pytest.mark.evidence, pytest.mark.timeout(1800)])])
def test_killed_at_random_moments_and_resumed_the_weights_are_equal(where: Path, kills: int) -> None:
    """kill -9 before the first checkpoint and in random epochs, anywhere in them; the same bits as without."""
    arguments = ["train", "tiny.toml", "--data", "photos", "--epochs", "60"]
    assert aigrob_here(where, *arguments, "--out", "whole").returncode == 0
    run = where / "runs" / "photos-tiny-s0"

    def trained() -> int:
        history = run / HISTORY
        return len(history.read_text().splitlines()) if history.exists() else -1

    moments = random.Random(kills)
    for epoch in [0, *sorted(moments.sample(range(1, 50), kills - 1))]:
        process = start(where, *arguments, "--resume")
        while process.poll() is None and trained() < epoch:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert json.loads((run / "run.json").read_text())["status"] == "training"
    assert aigrob_here(where, *arguments, "--resume").returncode == 0
    assert result(run) == result(where / "whole" / "photos-tiny-s0")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_save_and_exit_3_and_say_how_to_go_on(where: Path, number: signal.Signals) -> None:
    process = start(where, "train", "tiny.toml", "--data", "photos", "--epochs", "100000", "--quiet")
    while process.poll() is None and not (where / "runs" / "photos-tiny-s0" / CHECKPOINT).exists():
        time.sleep(0.01)
    process.send_signal(number)
    _, stderr = process.communicate()
    assert process.returncode == 3, stderr
    assert len(stderr.strip().splitlines()) == 1
    assert "aigrob train tiny.toml --data photos --epochs 100000 --quiet --resume" in stderr
    assert "it is saved in" in stderr


def test_a_finished_run_is_kept_refused_or_overwritten(where: Path) -> None:
    arguments = ["train", "tiny.toml", "--data", "photos", "--epochs", "1", "--quiet"]
    assert aigrob_here(where, *arguments).returncode == 0
    weights = where / "runs" / "photos-tiny-s0" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    refused(aigrob_here(where, *arguments), "already trained", "--resume", "--overwrite")
    assert aigrob_here(where, *arguments, "--resume").returncode == 0
    assert weights.stat().st_mtime_ns == before
    assert aigrob_here(where, *arguments, "--overwrite").returncode == 0
    assert weights.stat().st_mtime_ns > before


def spoil_key(where: Path) -> None:
    recipe = where / "tiny.toml"
    recipe.write_text(recipe.read_text().replace("epochs =", "epoch ="))


def spoil_type(where: Path) -> None:
    recipe = where / "tiny.toml"
    recipe.write_text(recipe.read_text().replace("epochs = 3", 'epochs = "three"'))


def spoil_value(where: Path) -> None:
    recipe = where / "tiny.toml"
    recipe.write_text(recipe.read_text().replace("weight = 2.0", 'reduction = "max"'))


def spoil_toml(where: Path) -> None:
    (where / "tiny.toml").write_text("summary = ")


def corrupt_image(where: Path) -> None:
    (where / "photos" / "train" / "cat" / "3.png").write_bytes(b"no image")


def one_class(where: Path) -> None:
    for split in ("train", "test"):
        for path in (where / "photos" / split / "dog").iterdir():
            path.unlink()
        (where / "photos" / split / "dog").rmdir()


def no_images(where: Path) -> None:
    for path in (where / "photos").rglob("*.png"):
        path.unlink()


def foreign_class(where: Path) -> None:
    (where / "photos" / "test" / "dog").rename(where / "photos" / "test" / "wolf")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_key, ["tiny.toml", "training.epoch", "did you mean 'epochs'"]),
        (spoil_type, ["tiny.toml", "training.epochs", "integer", "three"]),
        (spoil_value, ["tiny.toml", "training.rate_loss.reduction", "'mean' or 'sum'"]),
        (spoil_toml, ["tiny.toml", "not valid TOML"]),
        (corrupt_image, ["3.png", "not an image"]),
        (one_class, ["only one class", "cat"]),
        (no_images, ["no images"]),
        (foreign_class, ["wolf", "test", "train"]),
    ],
)
def test_bad_recipes_and_folders(where: Path, spoil: Callable[[Path], None], words: Sequence[str]) -> None:
    spoil(where)
    refused(aigrob_here(where, "train", "tiny.toml", "--data", "photos"), *words)
    assert not (where / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["aig-14"], ["unknown model 'aig-14'", "did you mean 'aig14'"]),
        (["--data", "digit"], ["unknown data set 'digit'", "did you mean 'digits'"]),
        (["--data", "nowhere/at/all"], ["no folder", "nowhere"]),
        (["nowhere.toml"], ["nowhere.toml", "cannot be read"]),
        (["--epochs", "0"], ["--epochs", "--help"]),
        (["--seed", "x"], ["--seed", "--help"]),
        (["--name", "mine"], ["--name", "one MODEL"]),
        (["--resume", "--overwrite"], ["exclude"]),
    ],
)
def test_bad_arguments(where: Path, arguments: Sequence[str], words: Sequence[str]) -> None:
    refused(aigrob_here(where, "train", *arguments), *words)
    assert not (where / "runs").exists()


def test_unknown_command() -> None:
    refused(aigrob_here(Path(), "trian"), "unknown command", "did you mean 'train'")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_where_there_is_none(where: Path) -> None:
    refused(aigrob_here(where, "train", "--device", "cuda"), "no CUDA device", "--device cpu")


def test_output_that_cannot_be_written(where: Path) -> None:
    (where / "taken").write_text("in the way")
    arguments = ["train", "tiny.toml", "--data", "photos", "--quiet"]
    refused(aigrob_here(where, *arguments, "--out", "taken"), "taken")
    refused(aigrob_here(where, *arguments, "--out", "/proc/1"), "/proc/1")


@pytest.mark.parametrize("command", ["", "train", "attack", "report", "demo", "models", "attacks", "inspect", "import"])
def test_help_has_examples(command: str) -> None:
    shown = aigrob_here(Path(), *([command] if command else []), "--help")
    assert shown.returncode == 0
    assert "Example" in shown.stdout
