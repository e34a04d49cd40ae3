"""What isn't known of the compute is said to be unknown, from the entry to every page and table."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig import evaluate
from robustbench_aig.errors import InputError
from robustbench_aig.models import adapt
from robustbench_aig.records import Report
from tests.command import aigrob_here
from tests.models.foreign import BLOCKS, adapted, recurrent
from tests.models.gated_by_others import right_scored
from tests.networks import images

X, Y, _ = images(12)


class Branching(nn.Module):
    """Runs a second convolution where an image is bright; nobody was told of a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 10, 3), nn.Conv2d(10, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.first(x)
        bright = (x.mean((1, 2, 3)) > X.mean()).nonzero()[:, 0]
        logits: Tensor = features.index_add(0, bright, self.second(features[bright])).mean((2, 3))
        return logits


class Nearest(nn.Module):
    """Distances to a prototype of each class: no product of a weight and a value."""

    def __init__(self) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.rand(10, X[0].numel()))

    def forward(self, x: Tensor) -> Tensor:
        return -(x.flatten(1)[:, None] - self.prototypes).square().sum(2)


def unnamed() -> nn.Module:
    net = recurrent()
    return adapt(
        net,
        gates=[net.gate],
        blocks=None,
        read=lambda _, output: output[1].squeeze(1).logit(1e-6),
        write=lambda output, z: (z.unsqueeze(1), output[1]),
    )


def branching() -> nn.Module:
    torch.manual_seed(0)
    return Branching()


def nearest() -> nn.Module:
    torch.manual_seed(0)
    return Nearest()


def measured(net: nn.Module, out: Path, *attacks: str, **how: str) -> Report:
    return evaluate(net, X, Y, out, eps="8/255", attacks=attacks or ["fgsm"], clocks=False, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "cause", "family", "gates"),
    [(branching, "differs", "dynamic", 0), (unnamed, "unnamed", "gated", BLOCKS)],
)
def test_it_is_null_in_the_record_and_makes_no_headline(
    make: Callable[[], nn.Module], cause: str, family: str, gates: int, tmp_path: Path
) -> None:
    report = measured(make(), tmp_path / "a")
    (model,) = report.models
    assert (model.total_macs, model.macs_unknown, model.family) == (None, cause, family)
    assert [gate.macs for gate in model.gates] == [None] * gates
    assert report.status == "complete"
    assert all(e.compute is None for e in report.evaluations)
    assert Report.model_validate_json((tmp_path / "a/report.json").read_text()) == report
    page = (tmp_path / "a/report.html").read_text()
    assert "compute, all open" in page
    assert "unknown" in page
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)
    assert "Plain" not in page.split("</dl>")[0]


def test_tables_comparison_and_leaderboard_bear_it(tmp_path: Path) -> None:
    for name, make in (("a", branching), ("b", unnamed)):
        measured(make(), tmp_path / name)
    for command in (
        ["report", "a", "--format", "markdown"],
        ["report", "b", "--format", "csv"],
        ["compare", "a", "b"],
        ["leaderboard", "."],
    ):
        done = aigrob_here(tmp_path, *command)
        assert done.returncode == 0, (command, done.stderr)
        assert not re.search(r"\bnan\b", done.stdout, re.IGNORECASE)


@pytest.mark.parametrize("make", [branching, unnamed])
def test_attacks_on_the_compute_are_refused(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its compute is unknown"):
        measured(make(), tmp_path / "a", "fgsm", "compute-up")
    assert not (tmp_path / "a").exists()


def test_a_suite_leaves_them_out(tmp_path: Path) -> None:
    report = evaluate(unnamed(), X, Y, tmp_path / "a", eps="8/255", suite="compute", clocks=False)
    assert {e.role for e in report.evaluations} <= {"clean", "attack", "control"}


def test_a_network_without_any_operation_that_counts_has_a_page(tmp_path: Path) -> None:
    report = measured(nearest(), tmp_path / "a")
    assert (report.models[0].total_macs, report.models[0].family) == (0, "plain")
    assert report.status == "complete"
    compute = report.evaluations[0].compute
    assert compute is not None
    assert (compute.clean_macs, compute.change, compute.recovered) == (0, 0, None)
    assert (tmp_path / "a/report.html").exists()
    json.loads((tmp_path / "a/report.json").read_text(), parse_constant=pytest.fail)


def test_soft_gates_are_refused_where_a_network_rounds_them(tmp_path: Path) -> None:
    net = right_scored()
    with pytest.raises(InputError, match="policy 'expected': its code rounds decisions"):
        measured(net, tmp_path / "a", policies=["expected"])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pgd:gates=expected can't work on Scored: its code rounds decisions"):
        measured(net, tmp_path / "a", "pgd:gates=expected")
    assert not (tmp_path / "a").exists()
    assert not measured(net, tmp_path / "a").models[0].soft


def test_soft_gates_are_judged_where_a_network_multiplies_by_them(tmp_path: Path) -> None:
    report = measured(adapted(recurrent()), tmp_path / "a", policies=["argmax", "expected"])  # type: ignore[arg-type]
    assert report.models[0].soft
    first, second = (e.clean_accuracy for e in report.evaluations if e.role == "clean")
    assert {first.n, second.n} == {12}


def test_a_wrong_adapter_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    net = recurrent()
    adapt(
        net,
        gates=[net.gate],
        blocks=list(net.blocks),
        read=lambda _, output: -output[1].squeeze(1).logit(1e-6),
        write=lambda output, z: (z.unsqueeze(1), output[1]),
    )
    with pytest.raises(InputError, match="read has the wrong sign"):
        measured(net, tmp_path / "a")
    assert not (tmp_path / "a").exists()
