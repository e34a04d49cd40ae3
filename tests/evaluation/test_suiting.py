"""An attack is left out only where it would be another one under a new name."""

import pytest
import torch
from torch import nn

from robustbench_aig import zoo
from robustbench_aig.attacks import build_attack, run_attack
from robustbench_aig.evaluation.suiting import unsuited
from robustbench_aig.gating import Argmax, Expected, Open, Policy
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import AttackRecipe, Family
from robustbench_aig.records import ModelRecord
from robustbench_aig.threat import Threat
from tests.networks import gated, images, plain

MODES = [
    "detached",
    "frozen",
    "frozen-noise",
    "open",
    "expected",
    "bpda",
    "leaded",
    "smoothed",
    "score-function",
    "evolution",
    "straight-through,gates.draws=3",
]


def record(family: Family) -> ModelRecord:
    return ModelRecord(name="twin", recipe="", family=family, parameters=0, total_macs=0, weights_digest="")


def attack(changes: str) -> AttackRecipe:
    return zoo.find_attack(f"pgd:steps=2,{changes}")[1]


def made(recipe: AttackRecipe, model: nn.Module, policy: Policy) -> torch.Tensor:
    x, y, ids = images(4)
    found = run_attack(
        build_attack(recipe.attack), model, policy, x, y, Threat.parse("8/255"), stream=Stream.of(ids, 0), seed=0
    )
    assert found.reason is None
    return found.images


@pytest.mark.parametrize(
    ("family", "policy", "model", "deployed"),
    [
        ("plain", "none", plain, Argmax()),
        ("gated", "argmax", gated, Argmax()),
        ("gated", "expected", gated, Expected()),
        ("gated", "open", gated, Open()),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_what_is_left_out_would_make_the_stock_attacks_images(
    family: Family, policy: str, model: type, deployed: Policy, mode: str
) -> None:
    recipe = attack(f"gates={mode}")
    if unsuited(recipe, record(family), policy) not in (None, "no gate looks at the image"):
        stock = made(attack("steps=2"), model(), deployed)
        assert (made(recipe, model(), deployed) - stock).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("changes", "family", "policy", "left_out"),
    [
        ("gates=open", "plain", "none", True),
        ("gates=evolution", "plain", "none", False),
        ("objective=gate-flip", "plain", "none", True),
        ("objective=margin", "plain", "none", False),
        ("gates=straight-through,gates.draws=20", "gated", "argmax", True),
        ("gates=straight-through,gates.draws=20", "gated", "sampled", False),
        ("gates=score-function", "gated", "argmax", False),
        ("gates=frozen-noise", "gated", "sampled", False),
        ("gates=open", "gated", "open", True),
        ("objective=joint", "gated", "sampled", False),
    ],
)
def test_where_attacks_are_left_out(changes: str, family: Family, policy: str, left_out: bool) -> None:
    assert (unsuited(attack(changes), record(family), policy) is not None) == left_out


def test_other_attacks() -> None:
    def why(name: str, family: Family, policy: str) -> str | None:
        return unsuited(zoo.find_attack(name)[1], record(family), policy)

    assert why("compute-up", "plain", "none") is not None
    assert why("compute-up", "gated", "open") is not None
    assert why("compute-up", "gated", "sampled") is None
    assert why("hopskipjump", "gated", "sampled") is not None
    assert why("hopskipjump", "gated", "argmax") is None
    assert why("transfer:source=twin", "plain", "none") is not None
    assert why("transfer:source=other", "plain", "none") is None
    for name in ("corners", "autoattack", "square-torchattacks"):
        assert why(name, "plain", "none") is why(name, "gated", "sampled") is None
