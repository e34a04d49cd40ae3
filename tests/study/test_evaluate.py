"""The evaluation of a program's own networks: the same numbers as the command's, and refusals in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robustbench_aig
from robustbench_aig import evaluate
from robustbench_aig.data import load_data
from robustbench_aig.errors import InputError
from robustbench_aig.gating import Gate, PooledGate
from robustbench_aig.models import profile_macs
from robustbench_aig.records import Report
from robustbench_aig.training import load_model, train
from tests.command import aigrob_here
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


def test_the_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        _ = robustbench_aig.evaluat
