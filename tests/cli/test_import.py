"""`aigrob import` as a user types it, and what can be done with the run that it makes."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from robustbench_aig.gating import Argmax, gating
from robustbench_aig.runs import read_run
from robustbench_aig.training import load_model
from tests.command import aigrob_here, as_printed, printed, refused, words_of
from tests.models.official import MEAN, STD, OfficialNet, normalised
from tests.networks import images
from tests.tiny import write_images


@pytest.fixture
def where(tmp_path: Path) -> Path:
    """A working directory with images of two classes and weights of the official code for them."""
    write_images(tmp_path / "photos", size=(16, 16), test=6)
    save(tmp_path, network())
    return tmp_path


def network(**settings: Any) -> OfficialNet:
    return OfficialNet(1, (8, 12, 16), **{"classes": 2, **settings})


def save(where: Path, theirs: OfficialNet) -> None:
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    torch.save({"epoch": 350, "state_dict": state}, where / "best.pth.tar")


def test_an_imported_network_is_a_run_that_can_be_attacked(where: Path) -> None:
    made = aigrob_here(where, "import", "best.pth.tar", "--data", "photos")
    assert made.returncode == 0, made.stderr
    assert made.stderr == ""
    normalised_with = "mean 0.4914, 0.4822, 0.4465 and std 0.2023, 0.1994, 0.2010"
    for words in ("3 gates", "aigrob attack photos-convnet-aig-8", "aigrob inspect", normalised_with):
        assert words in made.stdout
    run = where / "runs" / "photos-convnet-aig-8"
    assert {path.name for path in run.glob("[!.]*")} == {"run.json", "model.safetensors"}
    record = read_run(run)
    assert (record.status, record.metrics, record.recipe.training) == ("finished", None, None)
    assert record.recipe_name == "imported/convnet-aig-8"
    assert record.command == "aigrob import best.pth.tar --data photos"
    assert (record.data.classes, record.data.shape) == (["cat", "dog"], (3, 16, 16))
    assert (record.data.mean, record.data.std) == (MEAN, STD)
    assert "best.pth.tar, SHA-256 " in record.recipe.summary
    x = images(4, 16)[0]
    with torch.no_grad(), gating(model := load_model(run), Argmax()):
        assert (model(x) - network()(normalised(x))[0]).abs().max() < 1e-5
    attacked = aigrob_here(
        where, "attack", "photos-convnet-aig-8", "--attack", "fgsm", "--eps", "4/255", "--limit", "8", "--json"
    )
    assert attacked.returncode == 0, attacked.stderr
    report = json.loads(attacked.stdout)
    assert {e["gate_policy"] for e in report["evaluations"]} == {"argmax", "sampled"}
    assert (report["models"][0]["training"], report["models"][0]["imported"]) == (None, record.command)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_torchvision_network_is_attacked(where: Path, suffix: str) -> None:
    torch.manual_seed(0)
    state = models.resnet18(num_classes=2).state_dict()
    torch.save(state, where / "w.pt") if suffix == "pt" else save_file(state, where / "w.safetensors")
    made = aigrob_here(where, "import", f"w.{suffix}", "--data", "photos", "--image-size", "32", "--name", "eighteen")
    assert made.returncode == 0, made.stderr
    assert read_run(where / "runs" / "eighteen").data.mean == [0.485, 0.456, 0.406]
    attacked = aigrob_here(where, "attack", "eighteen", "--attack", "fgsm", "--eps", "4/255", "--limit", "8")
    assert attacked.returncode == 0, attacked.stderr


def test_small_images_for_a_torchvision_network_are_told(where: Path) -> None:
    torch.save(models.resnet18(num_classes=2).state_dict(), where / "w.pt")
    made = aigrob_here(where, "import", "w.pt", "--data", "photos")
    assert "--image-size" in made.stderr
    assert aigrob_here(where, "import", "w.pt", "--data", "photos", "--overwrite", "--quiet").stderr == ""


def test_options_and_json(where: Path) -> None:
    save(where, network(channels=3))
    arguments = ["--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.1", "--target", "0.7", "--out", "kept", "--seed", "3"]
    made = aigrob_here(where, "import", "best.pth.tar", "--data", "photos", *arguments, "--name", "a", "--json")
    assert made.returncode == 0, made.stderr
    (run,) = json.loads(made.stdout)["runs"]
    assert run["directory"] == str(Path("kept", "a"))
    assert (run["data"]["mean"], run["data"]["std"]) == ([0.5, 0.4, 0.3], [0.2, 0.2, 0.1])
    assert (run["recipe"]["model"]["target"], run["data"]["seed"]) == (0.7, 3)
    x = images(4, 16)[0]
    with torch.no_grad(), gating(model := load_model(where / "kept" / "a"), Argmax()):
        expected = network()(normalised(x, [0.5, 0.4, 0.3], [0.2, 0.2, 0.1]))[0]
        assert (model(x) - expected).abs().max() < 1e-5


def test_the_way_to_go_on_names_another_folder(where: Path) -> None:
    made = aigrob_here(where, "import", "best.pth.tar", "--data", "photos", "--out", "my runs", "--name", "a")
    lines = printed(made)
    assert [words_of(line)[0] for line in lines] == ["attack", "inspect"]
    for line in lines:
        result = as_printed(where, line)
        assert result.returncode == 0, result.stderr


def test_what_clean_accuracy_cannot_tell_is_said(where: Path) -> None:
    made = aigrob_here(where, "import", "best.pth.tar", "--data", "photos")
    assert "wrong --std" in made.stdout
    assert "robust accuracy" in made.stdout


def test_grey_digits(where: Path) -> None:
    save(where, network(channels=1, classes=10, gated=False))
    refused(aigrob_here(where, "import", "best.pth.tar", "--data", "digits"), "give --mean and --std", "1 channels")
    arguments = ["--mean", "0.3", "--std", "0.4", "--quiet"]
    made = aigrob_here(where, "import", "best.pth.tar", "--data", "digits", *arguments)
    assert made.returncode == 0, made.stderr
    attacked = aigrob_here(
        where, "attack", "digits-cifar-resnet-8", "--attack", "fgsm", "--eps", "4/255", "--limit", "8"
    )
    assert attacked.returncode == 0, attacked.stderr


def test_a_run_in_the_way_is_kept_until_told(where: Path) -> None:
    arguments = ["import", "best.pth.tar", "--data", "photos"]
    assert aigrob_here(where, *arguments).returncode == 0
    weights = where / "runs" / "photos-convnet-aig-8" / "model.safetensors"
    before = weights.read_bytes()
    save(where, network(seed=1))
    refused(aigrob_here(where, *arguments), "holds a run", "--overwrite", "--name")
    assert weights.read_bytes() == before
    save(where, network(classes=3))
    refused(aigrob_here(where, *arguments, "--overwrite"), "3 classes")
    assert weights.read_bytes() == before
    save(where, network(seed=1))
    assert aigrob_here(where, *arguments, "--overwrite").returncode == 0
    assert weights.read_bytes() != before


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("sprung",)


def damaged(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        state = network().state_dict()
        change(state)
        torch.save(state, path)

    return write


def truncated(path: Path) -> None:
    torch.save(network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:9000])


BAD: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "missing": (lambda path: path.with_suffix(".old").touch(), ["w.pt is not there"]),
    "empty": (Path.touch, ["is empty"]),
    "folder": (Path.mkdir, ["is a folder"]),
    "text": (lambda path: path.write_text("weights\n"), ["no file of torch.save"]),
    "truncated": (truncated, ["truncated"]),
    "code": (lambda path: torch.save({"state_dict": Trap()}, path), ["holds more than weights (posix.mkdir)", "trust"]),
    "network": (lambda path: torch.save(network(), path), ["holds more than weights (tests.models.official.Offi"]),
    "foreign": (
        lambda path: torch.save(models.squeezenet1_1().state_dict(), path),
        ["unknown network", "features.0.weight"],
    ),
    "lacking": (damaged(lambda state: state.pop("bn1.weight")), ["w.pt: 1 of the", "missing: 'bn1.weight'"]),
    "more": (damaged(lambda state: state.update(x=torch.ones(1))), ["1 tensors are unknown to ConvNet-AIG-8: 'x'"]),
    "shape": (damaged(lambda state: state.update({"linear.bias": torch.ones(3)})), ["'linear.bias' is 3, where"]),
    "NaN": (damaged(lambda state: state["bn1.bias"].fill_(torch.nan)), ["'bn1.bias' holds NaN"]),
    "variance": (damaged(lambda state: state["bn1.running_var"].fill_(-1)), ["returns NaN for a grey image"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_end_in_one_line(where: Path, case: str) -> None:
    write, words = BAD[case]
    write(where / "w.pt")
    refused(aigrob_here(where, "import", "w.pt", "--data", "photos"), *words)
    assert not (where / "runs").exists()
    assert not (where / "sprung").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "cifar"], ["did you mean 'cifar10'"]),
        ([], ["--data"]),
        (["--data", "digits"], ["2 classes", "digits has 10", "--data"]),
        (["--data", "photos", "--mean", "0.5,0.5,0.5"], ["--mean and --std belong together"]),
        (["--data", "photos", "--mean", "125,123,114", "--std", "63,62,67"], ["--mean 125,123,114", "divide by 255"]),
        (["--data", "photos", "--mean", "a,b,c", "--std", "1,1,1"], ["--mean a,b,c", "one number per channel"]),
        (["--data", "photos", "--mean", "nan,0,0", "--std", "1,1,1"], ["--mean nan,0,0"]),
        (["--data", "photos", "--mean", "0,0,0", "--std", "1,0,1"], ["--std 1,0,1", "above 0"]),
        (["--data", "photos", "--mean", "0.5", "--std", "0.5"], ["need 3 numbers each"]),
        (["--data", "photos", "--target", "1"], ["--target"]),
        (["--data", "photos", "--out", "best.pth.tar"], ["--out"]),
    ],
)
def test_bad_usage_ends_in_one_line(where: Path, arguments: list[str], words: list[str]) -> None:
    refused(aigrob_here(where, "import", "best.pth.tar", *arguments), *words)
    assert not (where / "runs").exists()


def test_images_of_other_channels(where: Path) -> None:
    save(where, network(channels=1))
    refused(aigrob_here(where, "import", "best.pth.tar", "--data", "photos"), "1 channels", "photos have 3")


def test_help_has_examples(where: Path) -> None:
    shown = aigrob_here(where, "import", "--help").stdout
    assert "Examples:" in shown
    assert "aigrob import model_best.pth.tar --data cifar10" in shown
    assert "import" in aigrob_here(where, "--help").stdout
