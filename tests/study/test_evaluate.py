"""The evaluation of a program's own networks: the same numbers as the command's, and refusals in one line."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import robustbench_aig
from robustbench_aig import evaluate
from robustbench_aig.data import load_data
from robustbench_aig.errors import InputError
from robustbench_aig.gating import Gate, PooledGate
from robustbench_aig.models import profile_macs
from robustbench_aig.models.foreign import Defaults
from robustbench_aig.records import Report
from robustbench_aig.training import load_model, train
from tests.command import aigrob_here
from tests.holding import another
from tests.tiny import job

FAST: dict[str, Any] = {"attacks": ["fgsm"], "eps": "16/255", "clocks": False}


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    few = load_data("digits", seed=0).test.limit(100, 0)
    return few.batch(slice(None)), few.labels


def accuracies(report: Report) -> dict[tuple[str, str, str], float]:
    return {(e.gate_policy, e.attack, str(e.threat)): e.robust_accuracy.value for e in report.evaluations}


def test_the_numbers_are_those_of_the_command(tmp_path: Path, digits: tuple[Tensor, Tensor]) -> None:
    list(train(job(tmp_path / "runs" / "mine", epochs=2)))
    arguments = ["attack", "mine", "--attack", "fgsm", "--policy", "argmax", "--eps", "16/255", "--limit", "100"]
    told = aigrob_here(tmp_path, *arguments, "--no-latency", "--json", "--quiet")
    assert told.returncode == 0, told.stderr
    model = load_model(tmp_path / "runs" / "mine").train()
    found = evaluate({"mine": model}, *digits, tmp_path / "own", policies=["argmax"], **FAST)
    assert accuracies(found) == accuracies(Report.model_validate_json(told.stdout))
    assert all(module.training for module in model.modules()), "the network stays as it was"
    assert (tmp_path / "own" / "report.html").exists()


def test_what_is_done_is_not_done_again(tmp_path: Path, digits: tuple[Tensor, Tensor]) -> None:
    told: list[tuple[int, int]] = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    first = evaluate(net, *digits, tmp_path, chunk=50, progress=lambda *done: told.append(done), **FAST)
    assert told == [(50, 200), (100, 200), (150, 200), (200, 200)]
    tables = {path: path.stat().st_mtime_ns for path in (tmp_path / "samples").iterdir()}
    again = evaluate(net, *digits, tmp_path, chunk=50, **FAST)
    assert again.evaluations == first.evaluations
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "samples").iterdir()} == tables
    assert json.loads((tmp_path / "report.json").read_text())["data"]["name"] == "images"


def test_after_an_error_the_directory_is_free(tmp_path: Path, digits: tuple[Tensor, Tensor]) -> None:
    """While a notebook still shows the error, too, whose traceback holds all that was there."""

    def progress(_done: int, _total: int) -> None:
        raise ValueError("mine")

    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(ValueError, match="mine") as shown:
        evaluate(net, *digits, tmp_path, chunk=50, progress=progress, **FAST)
    with another(tmp_path):
        assert (tmp_path / "plan.json").exists()
    assert shown.traceback
    (tmp_path / "images").rename(tmp_path / "away")
    (tmp_path / "images").write_text("a file in the place of the folder")
    with pytest.raises(InputError) as refused:
        evaluate(net, *digits, tmp_path, chunk=50, **FAST)
    with another(tmp_path):
        assert refused.traceback


class Gated(nn.Module):
    """Two blocks that share one gate of one's own, and one that looks at something else."""

    def __init__(self, ask: Callable[[Gate, Tensor, Callable[[Tensor], Tensor]], Tensor]) -> None:
        super().__init__()
        self.gate, self.conv, self.ask = PooledGate(1), nn.Conv2d(1, 1, 3, padding=1), ask
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = self.ask(self.gate, x, self.conv)
        logits: Tensor = self.head(x.flatten(1))
        return logits


def test_the_cost_of_a_block_that_a_gate_is_given() -> None:
    for ask in (
        lambda gate, x, conv: gate(x, x, conv),
        lambda gate, x, conv: gate(x, skip=x, residual=conv),
    ):
        profile = profile_macs(Gated(ask), (1, 8, 8))
        assert profile.blocks == (9 * 64, 9 * 64)
        assert profile.fixed == 640 + 2 * (16 + 32), "the head, and two layers of the gate for each of its decisions"


def test_a_gate_that_is_asked_past_its_block_is_refused() -> None:
    past = Gated(lambda gate, x, conv: x + gate.decide(gate.logits(x)).view(-1, 1, 1, 1) * conv(x))
    with pytest.raises(InputError, match=r"made 2 decisions in one pass, but 0 blocks .* gate\(x, skip, residual\)"):
        profile_macs(past, (1, 8, 8))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"eps": "8"}, "did you mean 8/255"),
        ({"eps": []}, "at least one epsilon"),
        ({"policies": ["argmin"]}, "argmax"),
        ({"attacks": ["pgdd"]}, "pgd"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"images": torch.full((4, 1, 8, 8), 16.0)}, r"lie in \[16, 16\]: normalise inside the model"),
        ({"images": torch.full((4, 1, 8, 8), torch.nan)}, "nan"),
        ({"images": torch.zeros(4, 1, 8, 8, dtype=torch.uint8)}, "float32"),
        ({"images": torch.zeros(0, 1, 8, 8), "labels": torch.zeros(0, dtype=torch.int64)}, "float32"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"int64 \(N,\)"),
        ({"labels": torch.full((4,), 10)}, "label 10, and only 10 classes"),
        ({"labels": torch.full((4,), -1)}, "count from 0"),
        ({"classes": ["a", "b"]}, r"must return logits \(2, 2\)"),
        ({"images": np.zeros((4, 1, 8, 8), np.float32)}, "tensors of torch, got ndarray and Tensor"),
        ({"models": {1: nn.Identity(), "1": nn.Identity()}}, "two of the networks have the same name"),
        ({"models": {"f": torch.relu}}, "no torch.nn.Module"),
        ({"models": nn.Conv2d(3, 3, 3)}, "fails on images of 1×8×8"),
        ({"models": {}}, "name at least one network"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    given: dict[str, Any] = {
        "models": nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
        "images": torch.zeros(4, 1, 8, 8),
        "labels": torch.zeros(4, dtype=torch.int64),
        "out": tmp_path / "out",
        **FAST,
    }
    with pytest.raises(InputError, match=words):
        evaluate(**(given | changes))
    assert not (tmp_path / "out").exists()


NAMES = ["timm/resnet18.a1_in1k", "n" * 300, "../outside", "", "a/b", "a_b", "a-b", "A_B", "ä:ö", ".hidden", "-x"]


def test_networks_may_be_called_anything(tmp_path: Path, digits: tuple[Tensor, Tensor]) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    few = digits[0][:4], digits[1][:4]
    where = tmp_path / "deep" / "report"
    report = evaluate(dict.fromkeys(NAMES, net), *few, where, **FAST)
    assert report.status == "complete"
    assert [model.name for model in report.models] == NAMES
    tables = [path.name.casefold() for path in (where / "samples").iterdir()]
    assert len(set(tables)) == 2 * len(NAMES), "one for each evaluation, also where case doesn't count"
    assert all(not name.startswith((".", "-")) for name in tables)
    assert [path.name for path in tmp_path.rglob("*") if path.parent in {tmp_path, where.parent}] == ["deep", "report"]
    assert evaluate(dict.fromkeys(NAMES, net), *few, where, **FAST).evaluations == report.evaluations


def settings() -> tuple[Any, ...]:
    return (
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.is_autocast_enabled("cpu"),
    )


@pytest.mark.parametrize("setting", ["inference mode", "no grad", "autocast", "float64"])
def test_what_a_program_has_set_changes_no_number(tmp_path: Path, digits: tuple[Tensor, Tensor], setting: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    few = digits[0][:12], digits[1][:12]
    changes: dict[str, Any] = {"eps": "0.5", "norm": "l2", "attacks": ["pgd", "corners"], "clocks": False}
    plain = evaluate(net, *few, tmp_path / "plain", **changes)
    around: dict[str, AbstractContextManager[object]] = {
        "inference mode": torch.inference_mode(),
        "no grad": torch.no_grad(),
        "autocast": torch.autocast("cpu", dtype=torch.bfloat16),
        "float64": Defaults(torch.float64).set(),
    }
    with around[setting]:
        before = settings()
        found = evaluate(net, *few, tmp_path / "other", **changes)
        assert settings() == before
    assert accuracies(found) == accuracies(plain)
    for table in (tmp_path / "plain" / "samples").iterdir():
        assert table.read_bytes() == (tmp_path / "other" / "samples" / table.name).read_bytes()


class Dice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(nn.functional.dropout(x, 0.5))
        return logits


def test_a_network_with_dice_is_judged_by_draws(tmp_path: Path, digits: tuple[Tensor, Tensor]) -> None:
    few = digits[0][:12], digits[1][:12]
    stronger = ["pgd:steps=3", "pgd:steps=3,gates=straight-through,gates.draws=5"]
    changes: dict[str, Any] = {"eps": "16/255", "attacks": stronger, "clocks": False, "draws": 4, "chunk": 5}
    report = evaluate({"dice": Dice()}, *few, tmp_path / "one", **changes)
    again = evaluate({"dice": Dice()}, *few, tmp_path / "two", **changes)
    assert accuracies(report) == accuracies(again)
    assert {e.attack for e in report.evaluations} == {"clean", *stronger}, "a mean over draws is no repetition here"
    assert {e.robust_accuracy.draws for e in report.evaluations} == {4}
    assert report.models[0].restless
    assert report.worst_case[0].accuracy.draws == 4
    assert "is random by itself" in (tmp_path / "one" / "report.html").read_text()


def test_attacks_by_gradients_are_refused_where_there_are_none(tmp_path: Path, digits: tuple[Tensor, Tensor]) -> None:
    class Blocked(Dice):
        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.net(x.detach())
            return logits

    few = digits[0][:4], digits[1][:4]
    with pytest.raises(InputError, match=r"passes no gradient to .* so fgsm cannot work"):
        evaluate(Blocked(), *few, tmp_path / "out", **FAST)
    assert not (tmp_path / "out").exists()
    by_queries: dict[str, Any] = {"attacks": ["square-torchattacks:queries=10", "corners"]}
    assert evaluate(Blocked(), *few, tmp_path / "out", **FAST | by_queries).status == "complete"


@pytest.mark.parametrize("channels", [2, 5])
def test_images_of_any_number_of_channels_and_no_convolution(tmp_path: Path, channels: int) -> None:
    images = torch.rand(4, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    report = evaluate(
        nn.Sequential(nn.Flatten(), nn.Linear(16 * channels, 3)),
        images,
        torch.zeros(4, dtype=torch.int64),
        tmp_path,
        **FAST,
    )
    assert report.status == "complete"
    assert f"of {channels} channels" in (tmp_path / "report.html").read_text()


def test_the_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        _ = robustbench_aig.evaluat
