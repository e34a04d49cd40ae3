"""How long an attack is said to take: its passes are those that it asks a network for."""

from pathlib import Path

import pytest
import torch

from robustbench_aig.attacks import build_attack, run_attack
from robustbench_aig.gating import Argmax
from robustbench_aig.randomness import Stream
from robustbench_aig.study.duration import passes
from robustbench_aig.threat import Threat
from robustbench_aig.training import load_model, train
from robustbench_aig.zoo import find_attack
from tests.command import aigrob_here
from tests.tiny import job

NAMES = ["fgsm", "pgd", "pgd:steps=7,restarts=2", "apgd:steps=9", "compute-up:steps=6", "corners", "permuted"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clocked") / "runs"
    for name in ("plain", "gated"):
        list(train(job(root / name, gated=name == "gated", epochs=1)))
    return root


@pytest.mark.parametrize("name", NAMES)
def test_passes_are_those_that_an_attack_asks_for(name: str, runs: Path) -> None:
    model, recipe = load_model(runs / "gated"), find_attack(name)[1].attack
    ids = torch.arange(12)
    x = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(1)
    costs = torch.ones(3, dtype=torch.float64)
    stream, eps = Stream.of(ids, 0, "attack"), Threat.parse("0.001/255")
    found = run_attack(build_attack(recipe), model, Argmax(), x, y, eps, stream=stream, seed=0, costs=costs)
    assert found.reason is None
    spent = found.backwards
    # What looks at the first iterate before its first step takes one more.
    assert spent <= passes(recipe.model_dump()) + 1
    assert passes(recipe.model_dump()) <= spent + 1


def test_it_is_told_beforehand_and_not_of_what_is_done(runs: Path) -> None:
    asked = ["attack", "--attack", "fgsm", "--limit", "20", "--eps", "8/255", "--no-latency", "--name", "once"]
    first = aigrob_here(runs.parent, *asked)
    assert (first.returncode, first.stderr.count(" on this machine")) == (0, 1)
    again = aigrob_here(runs.parent, *asked, "--resume")
    assert (again.returncode, again.stderr.count(" on this machine")) == (0, 0)
