"""`aigrob attack` on a ladder, behind a defence, and on networks that aren't ours; `aigrob train --ladder`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from robustbench_aig.training import train
from tests.command import aigrob, aigrob_here, refused
from tests.sharing import shared
from tests.tiny import job

FAST = ["--attack", "fgsm", "--eps", "16/255", "--limit", "40", "--quiet", "--json"]
OWN = """
import torch
from torch import nn

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        return self.inner(x), "more"

def wrong_classes():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))

def wrong_size():
    return nn.Sequential(nn.Flatten(), nn.Linear(100, 10))

def not_finite():
    model = network()
    nn.init.constant_(model[1].bias, float("nan"))
    return model

def breaks():
    raise KeyError("oops")

def no_module():
    return 3

def exits():
    import sys
    sys.exit("no licence")

def odd():
    # prints wherever it can, sets defaults of torch, and writes into its images
    import os
    os.system("echo from a shell")
    print("from python")
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    class Odd(Several):
        def forward(self, x):
            print("a pass")
            x.sub_(0.5).add_(0.5)
            return self.inner(x)
    return Odd()
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`runs/` of a gated network, and of its controls, which were trained by the command."""

    def make(where: Path) -> None:
        list(train(job(where / "runs" / "gated", depth=14, target=0.0, lr=0.4, epochs=4)))
        result = aigrob_here(where, "train", "--ladder", "gated", "--quiet", "--json")
        assert result.returncode == 0, result.stderr

    with shared(tmp_path_factory, "ladder", make) as where:
        yield where / "runs"


@pytest.fixture
def ladder(trained: Path, tmp_path: Path) -> Path:
    """A working directory with these runs."""
    (tmp_path / "runs").symlink_to(trained)
    return tmp_path


def attacked(where: Path, *arguments: str) -> dict[str, Any]:
    result = aigrob_here(where, "attack", *arguments, *FAST)
    assert result.returncode == 0, result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    assert report["status"] == "complete"
    return report


def test_the_controls_of_a_gated_run_are_trained_by_its_recipe(ladder: Path) -> None:
    records = {path.parent.name: json.loads(path.read_text()) for path in ladder.glob("runs/*/run.json")}
    assert set(records) == {"gated", "digits-resnet14-s0", "digits-resnet8-s0", "digits-sd14-s0"}
    for record in records.values():
        training = {**record["recipe"]["training"], "rate_loss": None}
        assert training == {**records["gated"]["recipe"]["training"], "rate_loss": None}
        assert record["recipe"]["model"]["widths"] == [4, 4, 4]
    again = aigrob_here(ladder, "train", "--ladder", "gated")
    assert again.returncode == 0
    assert "all networks of the ablation of gated are trained" in again.stderr


def test_the_whole_ladder_in_one_report(ladder: Path) -> None:
    report = attacked(ladder, "--ladder", "--name", "whole")
    rungs = {rung["key"]: (rung["model"], rung["policy"]) for rung in report["ladder"]["rungs"]}
    assert rungs == {
        "R0": ("digits-resnet14-s0", "none"),
        "R0'": ("digits-resnet8-s0", "none"),
        "R1": ("digits-sd14-s0", "expected"),
        "R2": ("digits-sd14-s0", "random"),
        "R3": ("gated", "argmax"),
        "R4": ("gated", "sampled"),
        "R4k": ("gated", "known"),
        "R4r": ("gated", "random"),
        "R5": ("gated", "open"),
        "R6": ("gated", "expected"),
        "R7": ("gated", "majority"),
        "R7b": ("gated", "static"),
    }
    assert {(e["model"], e["gate_policy"]) for e in report["evaluations"]} == set(rungs.values())
    own = json.loads((ladder / "runs" / "gated" / "run.json").read_text())["metrics"]["validation"]["sampled"]["rates"]
    rates = {model["name"]: model["rates"] for model in report["models"]}
    assert rates["gated"] == rates["digits-sd14-s0"] == own
    # Blind gates don't react, and open ones run everything.
    for e in report["evaluations"]:
        if e["gate_policy"] in {"random", "open", "majority", "static"}:
            assert e["gates"]["flip_rate"] == 0
    assert len({(step["upper"], step["lower"]) for step in report["ladder"]["steps"]}) == 16


def test_missing_controls_are_named_with_the_way_to_them(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "gated").symlink_to(trained / "gated")
    result = aigrob_here(tmp_path, "attack", "--ladder", "gated", "--attack", "fgsm", "--eps", "8/255", "--limit", "9")
    assert result.returncode == 0, result.stderr
    assert "R2 is missing: train it with aigrob train --ladder gated" in result.stderr
    assert "R0  plain, equal depth (train it with" in result.stdout


def test_jpeg_in_front_of_both_networks_comes_out_of_one_command(ladder: Path) -> None:
    arguments = ["--defence", "none", "--defence", "jpeg:60", "--policy", "argmax", "--name", "jpeg"]
    report = attacked(ladder, "digits-resnet14-s0", "gated", *arguments)
    assert [(model["name"], model["defence"]) for model in report["models"]] == [
        ("digits-resnet14-s0", None),
        ("digits-resnet14-s0+jpeg60", {"kind": "jpeg", "quality": 60}),
        ("gated", None),
        ("gated+jpeg60", {"kind": "jpeg", "quality": 60}),
    ]
    assert "behind jpeg:60" in (ladder / "reports" / "jpeg" / "report.html").read_text()
    # The attack sees through the compression: it costs one gradient and changes the answers' margins.
    (fgsm,) = [e for e in report["evaluations"] if e["model"] == "gated+jpeg60" and e["attack"] == "fgsm"]
    assert fgsm["cost"]["backwards"] == 1


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(OWN)
    return tmp_path


def test_a_network_of_ones_own(mine: Path) -> None:
    torch.manual_seed(1)
    save_file({"1.weight": torch.randn(10, 64), "1.bias": torch.zeros(10)}, mine / "w.safetensors")
    arguments = ["--data", "digits", "--model", "mine:network", "--model", "mine:Several"]
    report = attacked(mine, *arguments)
    first, second = report["models"]
    assert (first["name"], first["recipe"], first["family"], first["parameters"]) == (
        "mine-network",
        "mine:network",
        "plain",
        650,
    )
    assert first["total_macs"] == 640
    results = [
        [e["robust_accuracy"]["count"] for e in report["evaluations"] if e["model"] == model["name"]]
        for model in (first, second)
    ]
    assert results[0] == results[1], "a tuple's first entry is the logits"
    loaded = attacked(mine, "--data", "digits", "--model", "mine:network", "--weights", "w.safetensors", "--name", "w")
    assert loaded["models"][0]["weights_digest"] != first["weights_digest"]


def test_what_a_network_prints_and_sets_stays_its_own(mine: Path) -> None:
    """In a process of its own, for a shell below it prints, too: one JSON document is all that stands on stdout."""
    found = aigrob(mine, "attack", "--data", "digits", "--model", "mine:odd", *FAST)
    assert found.returncode == 0, found.stderr
    report = json.loads(found.stdout)
    assert report["models"][0]["foreign"] == {
        "dtype": "float64",
        "in_place": True,
        "paired": False,
        "restless": False,
        "still": [],
        "unattackable": None,
        "hub": None,
    }
    for words in ("from a shell", "from python", "a pass", "mine-odd writes into the images that it gets"):
        assert words in found.stderr
    assert "mine-odd takes images in float64" in found.stderr


def test_someone_elses_gated_network_gets_gate_pictures_like_a_native_one(tmp_path: Path) -> None:
    report = attacked(tmp_path, "--data", "digits", "--model", "examples.skipnet:network", "--name", "skip")
    (model,) = report["models"]
    assert model["family"] == "gated"
    assert len(model["gates"]) == 9
    assert {e["gate_policy"] for e in report["evaluations"]} == {"argmax"}, "its own threshold"
    html = (tmp_path / "reports" / "skip" / "report.html").read_text()
    for part in ("heat-maps", 'aria-label="Clean, %"', "Gates that flip", 'class="strip"'):
        assert part in html


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "mine"], ["package.module:function"]),
        (["--model", "mine:"], ["package.module:function"]),
        (["--model", "nowhere:network"], ["cannot be built", "No module named 'nowhere'"]),
        (["--model", "mine:missing"], ["cannot be built", "missing"]),
        (["--model", "mine:breaks"], ["cannot be built", "KeyError", "oops"]),
        (["--model", "mine:exits"], ["cannot be built", "SystemExit: no licence"]),
        (["--model", "mine:no_module"], ["returns a int", "torch.nn.Module"]),
        (["--model", "mine:wrong_classes"], ["(2, 10)", "(2, 7)"]),
        (["--model", "mine:wrong_size"], ["fails on images of 1×8×8"]),
        (["--model", "mine:not_finite"], ["NaN or infinite"]),
        (["--model", "mine:network", "--policy", "random"], []),
        (["--model", "mine:network", "--model", "mine:network"], ["same --model is given twice"]),
        (["--model", "mine:network", "--weights", "a", "--weights", "b"], ["2 --weights for 1 --model"]),
        (["--model", "mine:network", "--weights", "none.safetensors"], ["none.safetensors", "not there"]),
        (["--model", "mine:network", "--weights", "mine.py"], ["mine.py"]),
        (["--model", "mine:network", "--weights", "other.safetensors"], ["doesn't fit", "'1.bias'", "'2.bias'"]),
        (["--model", "mine:network", "--defence", "jpg:75"], ["unknown defence 'jpg:75'", "jpeg"]),
        (["--model", "mine:network", "--ladder"], ["--ladder", "leave out --model"]),
    ],
)
def test_bad_arguments(mine: Path, arguments: Sequence[str], words: Sequence[str]) -> None:
    save_file({"2.bias": torch.zeros(10)}, mine / "other.safetensors")
    result = aigrob_here(mine, "attack", "--data", "digits", *arguments, *FAST[:-1])
    if words:
        refused(result, *words)
    else:
        assert result.returncode == 0, "a plain network asks no policy"


def test_gates_of_ones_own_have_no_rates_to_open_blindly_at(tmp_path: Path) -> None:
    arguments = ["--data", "digits", "--model", "examples.skipnet:network", "--policy", "random"]
    refused(aigrob_here(tmp_path, "attack", *arguments, *FAST[:-1]), "'random' needs the execution rates")


def test_own_network_without_data(mine: Path) -> None:
    refused(aigrob_here(mine, "attack", "--model", "mine:network"), "--model needs --data")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["attack", "--ladder"], ["no finished gated run"]),
        (["attack", "--ladder", "a", "b"], ["a single RUN"]),
        (["train", "--ladder", "none"], ["no run"]),
        (["train", "resnet14", "--ladder", "gated"], ["leave out MODEL"]),
    ],
)
def test_bad_ladders(tmp_path: Path, arguments: Sequence[str], words: Sequence[str]) -> None:
    (tmp_path / "runs").mkdir()
    refused(aigrob_here(tmp_path, *arguments), *words)


def test_a_ladder_starts_from_a_gated_run_and_stands_without_defence(ladder: Path) -> None:
    refused(aigrob_here(ladder, "attack", "--ladder", "digits-resnet14-s0"), "no gated ResNet")
    refused(aigrob_here(ladder, "train", "--ladder", "digits-resnet14-s0"), "no gated ResNet")
    refused(aigrob_here(ladder, "attack", "--ladder", "--defence", "jpeg:75"), "--ladder and --defence")
