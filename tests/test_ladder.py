"""The ladder of controls: which networks it needs, and which finished runs it takes for them."""

from pathlib import Path
from typing import Any

import pytest

from robustbench_aig.errors import InputError
from robustbench_aig.ladder import RUNGS, STEPS, Run, control_recipe, controls, find_control, training_differs
from robustbench_aig.models import matched_depth, measure
from robustbench_aig.recipes import GatedResNetRecipe, ResNetRecipe
from robustbench_aig.runs import RunRecord, Trained
from robustbench_aig.zoo import find_model


def run(recipe: str, **changes: Any) -> RunRecord:
    """A finished run of a shipped recipe."""
    full, found = find_model(recipe)
    data = {"name": "photos", "source": "photos", "seed": 0, "classes": ["a", "b"], "shape": (3, 32, 32)}
    content: dict[str, Any] = {
        "name": recipe.replace("/", "-"),
        "recipe_name": full,
        "recipe": found.chosen("short"),
        "data": Trained(**data, mean=[0.5] * 3, std=[0.2] * 3),
        "seed": 0,
        "status": "finished",
        "created": "2026-01-01T00:00:00Z",
        "finished": "2026-01-01T01:00:00Z",
        "command": "aigrob train",
        "environment": {},
        "parameters": 1,
    }
    return RunRecord(**{**content, **changes})


def place(*records: RunRecord) -> list[Run]:
    return [(Path(record.name), record) for record in records]


def test_every_step_joins_two_rungs_and_every_rung_is_used() -> None:
    used = {key for step in STEPS for key in (step.upper, step.lower)}
    assert used == set(RUNGS)
    assert len({(step.upper, step.lower) for step in STEPS}) == len(STEPS)


def test_rungs_of_one_network_differ_in_the_policy_alone() -> None:
    assert len({(role, policy) for role, policy, _ in RUNGS.values()}) == len(RUNGS)


@pytest.mark.parametrize(("depth", "rate", "expected"), [(20, 0.63, 14), (20, 0.25, 8), (20, 1.0, 20), (110, 0.6, 68)])
def test_the_matched_depth_is_the_nearest_in_compute(depth: int, rate: float, expected: int) -> None:
    """Independent of the search: compute is affine in depth, 40.813 M at 20 and 253.150 M at 110."""
    gated = GatedResNetRecipe(algorithm="gated-resnet", depth=depth)
    assert matched_depth(gated, [rate] * gated.blocks, 10, (3, 32, 32)) == expected
    per_layer = (253_149_824 - 40_813_184) / 90
    fixed = 40_813_184 - 18 * per_layer
    wanted = 2 + (depth - 2) * rate
    nearest = min(
        range(8, depth + 1, 6), key=lambda d: abs(fixed + (d - 2) * per_layer - fixed - (wanted - 2) * per_layer)
    )
    assert nearest == expected
    plain = ResNetRecipe(algorithm="resnet", depth=expected)
    assert measure(plain, 10, (3, 32, 32))[0].macs == pytest.approx(fixed + (expected - 2) * per_layer, rel=1e-6)


def test_controls_share_depth_and_width_with_the_gated_network() -> None:
    needed = controls(run("cifar10/aig20"), 14)
    assert {role: (s.algorithm, s.depth) for role, s in needed.items()} == {
        "plain": ("resnet", 20),
        "matched": ("resnet", 14),
        "stochastic": ("stochastic-depth-resnet", 20),
    }
    assert "matched" not in controls(run("cifar10/aig20"), 20)


def test_a_ladder_starts_from_a_gated_network() -> None:
    with pytest.raises(InputError, match="no gated ResNet"):
        controls(run("cifar10/resnet20"), 14)


def test_controls_are_trained_like_the_gated_network() -> None:
    gated = run("cifar10/aig20")
    for role, settings in controls(gated, 14).items():
        name, recipe = control_recipe(gated, settings)
        assert name == {"plain": "cifar10/resnet20", "matched": "cifar10/resnet14", "stochastic": "cifar10/sd20"}[role]
        assert recipe.training is not None
        assert gated.recipe.training is not None
        assert recipe.training.rate_loss is None
        assert (
            recipe.training.model_copy(update={"rate_loss": gated.recipe.training.rate_loss}) == gated.recipe.training
        )
        assert recipe.twin == ("cifar10/aig20" if role == "plain" else None)


def test_a_control_has_the_same_data_and_best_the_same_training_and_seed() -> None:
    gated, plain = run("cifar10/aig20"), run("cifar10/resnet20")
    wanted = controls(gated, 14)["plain"]
    assert plain.recipe.training is not None
    longer = plain.recipe.training.model_copy(update={"epochs": 99})
    elsewhere = plain.data.model_copy(update={"name": "drawings"})
    candidates = {
        "other seed": run("cifar10/resnet20", name="other seed", seed=1, finished="2026-01-03T00:00:00Z"),
        "longer": run("cifar10/resnet20", name="longer"),
        "other data": run("cifar10/resnet20", name="other data", data=elsewhere),
        "unfinished": run("cifar10/resnet20", name="unfinished", status="training"),
        "deeper": run("cifar10/resnet32", name="deeper"),
        "fitting": run("cifar10/resnet20", name="fitting"),
        "newer": run("cifar10/resnet20", name="newer", finished="2026-01-02T00:00:00Z"),
    }
    other = plain.recipe.model_copy(update={"training": longer})
    candidates["longer"] = candidates["longer"].model_copy(update={"recipe": other})

    def found(*names: str) -> str | None:
        control = find_control(wanted, gated, place(*(candidates[name] for name in names)))
        return control[1].name if control else None

    assert found(*candidates) == "newer"
    assert found("other seed", "longer", "fitting") == "fitting"
    assert found("other seed", "longer") == "other seed"
    assert found("longer") == "longer"
    assert training_differs(candidates["longer"], gated)
    assert not training_differs(candidates["fitting"], gated)
    assert found("other data", "unfinished", "deeper") is None
