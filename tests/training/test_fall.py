"""At which budgets a network falls: against one whose fall is known, and as `aigrob train` records it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.cli.attack_request import SMALL_EPS
from robustbench_aig.data import load_data
from robustbench_aig.training.fall import HIGH, LOW, measure_fall
from tests.command import aigrob_here


class Brightness(nn.Module):
    """Class 0 below a threshold of the first pixel, class 1 above: an image at a distance d is lost at ε = d."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([0.5 - x[:, 0, 0, 0], x[:, 0, 0, 0] - 0.5], dim=1)


class Distances:
    """Images whose first pixels lie at given distances above the threshold."""

    def __init__(self, distances: np.ndarray) -> None:
        self.pixels = torch.full((len(distances), 1, 2, 2), 0.5)
        self.pixels[:, 0, 0, 0] += torch.from_numpy(distances).float()
        self.labels = torch.ones(len(distances), dtype=torch.int64)
        self.ids = torch.arange(len(distances))

    def __len__(self) -> int:
        return len(self.labels)

    def limit(self, *_: object) -> "Distances":
        return self

    def batch(self, index: Tensor) -> Tensor:
        return self.pixels[index]


@pytest.mark.parametrize(
    ("low", "high", "budgets"),
    [
        (0.1, 3.9, ["0.5/255", "1/255", "2/255"]),
        (10, 60, ["16/255", "32/255", "48/255"]),
        (3, 6, ["4/255", "5/255", "5.5/255"]),
        (5, 7, ["5.5/255", "6/255", "6.5/255"]),
        (0.01, 0.2, ["0.0625/255", "0.125/255", "0.15625/255"]),
    ],
)
def test_three_budgets_within_the_fall(low: float, high: float, budgets: list[str]) -> None:
    distances = np.linspace(low, high, 100) / 255
    fall = measure_fall(Brightness().eval(), Distances(distances), seed=0)  # type: ignore[arg-type]
    assert fall
    assert fall.clean == 1
    for eps, accuracy in fall.accuracies.items():
        assert accuracy == pytest.approx(float((distances > float(eps.split("/")[0]) / 255).mean()), abs=0.011)
    assert list(fall.accuracies.values())[-1] < LOW
    assert fall.budgets == budgets
    for eps in budgets:
        assert LOW <= (distances > float(eps.split("/")[0]) / 255).mean() <= HIGH


@pytest.mark.parametrize("distances", [np.linspace(200, 255, 100) / 255, np.full(100, -0.1), np.full(100, 1 / 255)])
def test_what_does_not_fall_or_falls_at_once_has_no_budgets(distances: np.ndarray) -> None:
    """Lost nowhere, misclassified from the start, and all at one ε."""
    assert measure_fall(Brightness().eval(), Distances(distances), seed=0) is None  # type: ignore[arg-type]


def test_train_records_it_and_attack_takes_it(tmp_path: Path) -> None:
    few = ["--epochs", "3", "--quiet"]
    assert aigrob_here(tmp_path, "train", "resnet14", "aig14", *few).returncode == 0
    record = json.loads((tmp_path / "runs" / "digits-resnet14-s0" / "run.json").read_text())
    fall = record["fall"]
    assert fall["n"] == len(load_data("digits", seed=0).validation)
    assert json.loads((tmp_path / "runs" / "digits-aig14-s0" / "run.json").read_text())["fall"] is None
    asked = ["attack", "--attack", "fgsm", "--limit", "60", "--no-latency", "--json"]
    report = json.loads(aigrob_here(tmp_path, *asked).stdout)
    met = {e["threat"]["eps"] for e in report["evaluations"] if e["threat"]}
    assert met == set(fall["budgets"])
    assert [threat["eps"] for threat in report["models"][0]["budgets"]] == fall["budgets"]
    (claim, *_) = [claim for claim in report["claims"] if claim["id"] == "more-robust"]
    assert {one["threat"]["eps"] for one in claim["measurements"]} == met, "digits are judged, too"
    # A run of before, which doesn't say.
    del record["fall"]
    (tmp_path / "runs" / "digits-resnet14-s0" / "run.json").write_text(json.dumps(record))
    report = json.loads(aigrob_here(tmp_path, *asked).stdout)
    assert {e["threat"]["eps"] for e in report["evaluations"] if e["threat"]} == {t.eps for t in SMALL_EPS}
