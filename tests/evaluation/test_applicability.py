"""An attack is left out only where it would be another one under a new name."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from robustbench_aig import zoo
from robustbench_aig.attacks import build_attack, run_attack
from robustbench_aig.evaluation.applicability import left_out
from robustbench_aig.gating import Argmax, Expected, Open, Policy
from robustbench_aig.policy_traits import NOT_DRAWN, NOT_OURS, TOO_MANY
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import AttackRecipe, Family, validate
from robustbench_aig.records import ForeignRecord, GateRecord, ModelRecord
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


def why(recipes: Sequence[AttackRecipe], model: ModelRecord, policy: str) -> str | None:
    """Why the last of them is left out; None where it isn't."""
    return left_out([(str(number), recipe) for number, recipe in enumerate(recipes)], model, policy).get(
        str(len(recipes) - 1)
    )


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
    plainer = attack("steps=2")
    reason = why([plainer, recipe], record(family), policy)
    if reason not in (None, "no gate looks at the image"):
        assert why([recipe], record(family), policy) is None  # without the stock attack it stands for it
        stock = made(plainer, model(), deployed)
        assert (made(recipe, model(), deployed) - stock).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("changes", "family", "policy", "spared"),
    [
        ("gates=open", "plain", "none", True),
        ("gates=evolution", "plain", "none", False),
        ("objective=gate-flip", "plain", "none", True),
        ("objective=margin", "plain", "none", False),
        ("gates=straight-through,gates.draws=20", "gated", "argmax", True),
        ("gates=straight-through,gates.draws=20", "gated", "sampled", False),
        ("gates=score-function", "gated", "argmax", False),
        ("gates=frozen-noise", "gated", "sampled", False),
        ("gates=exact", "plain", "none", True),
        ("gates=exact", "gated", "argmax", True),
        ("gates=exact", "gated", "sampled", False),
        ("gates=exact", "gated", "random", False),
        ("gates=exact", "stochastic", "expected", True),
        ("gates=open", "gated", "open", True),
        ("objective=joint", "gated", "sampled", False),
    ],
)
def test_where_attacks_are_left_out(changes: str, family: Family, policy: str, spared: bool) -> None:
    assert (why([attack("steps=2"), attack(changes)], record(family), policy) is not None) == spared


def alone(name: str, family: Family, policy: str) -> str | None:
    return why([zoo.find_attack(name)[1]], record(family), policy)


def test_other_attacks() -> None:
    assert alone("compute-up", "plain", "none") is not None
    assert alone("compute-up", "gated", "open") is not None
    assert alone("compute-up", "gated", "sampled") is None
    assert alone("hopskipjump", "gated", "sampled") is not None
    assert alone("hopskipjump", "gated", "argmax") is None
    for name in ("autoattack-rand", "autoattack-rand-pyautoattack"):
        assert alone(name, "plain", "none") == alone(name, "gated", "argmax") == "it is deterministic"
        assert alone(name, "gated", "sampled") is None
    assert alone("transfer:source=twin", "plain", "none") is not None
    assert alone("transfer:source=other", "plain", "none") is None
    for name in ("corners", "autoattack", "square-torchattacks"):
        assert alone(name, "plain", "none") is alone(name, "gated", "sampled") is None


def test_one_of_several_that_would_be_the_same_stands_for_all() -> None:
    names = ["pgd:gates=open", "pgd:gates=expected", "pgd:gates=bpda,steps=3", "apgd:gates=open", "pgd:gates=evolution"]
    attacks = [zoo.find_attack(name) for name in names]
    assert left_out(attacks, record("plain"), "none") == {names[1]: "it has no gates"}
    assert left_out([*attacks, zoo.find_attack("pgd")], record("plain"), "none").keys() == set(names[:2])
    assert left_out(attacks, record("gated"), "argmax") == {}


def test_exact_gradients_take_few_gates_of_ours_that_draw() -> None:
    def of(gates: int, target: float = 0.6, **changes: object) -> ModelRecord:
        records = [GateRecord(name=str(gate), macs=0, target=target) for gate in range(gates)]
        return record("gated").model_copy(update={"gates": records, **changes})

    exact, last = attack("gates=exact"), zoo.find_attack("compute-up:gates=exact")[1]
    assert why([exact], of(12), "sampled") is why([last], of(12), "sampled") is None
    assert why([exact], of(13), "sampled") == why([last], of(13), "sampled") == TOO_MANY
    assert why([exact], of(54, target=1.0), "sampled") is None
    assert why([exact], of(3), "argmax") == why([last], of(3), "argmax") == NOT_DRAWN
    assert why([exact], of(3, foreign=ForeignRecord()), "sampled") == NOT_OURS
    assert why([exact], of(3, foreign=ForeignRecord(restless=True)), "sampled") == NOT_DRAWN
    inner = {"algorithm": "pgd", "gates": {"mode": "exact"}}
    transferred, permuted = (
        validate(AttackRecipe, {"summary": "", "reference": "", "attack": {"of": inner, **outer}}, "test")
        for outer in ({"algorithm": "transfer", "source": "other"}, {"algorithm": "permuted"})
    )
    assert why([transferred], of(3), "sampled") == NOT_DRAWN
    assert why([permuted], of(13), "sampled") == TOO_MANY
