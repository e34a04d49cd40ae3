"""Recipes: what ships validates, what is wrong is told with file, key and what is allowed."""

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustbench_aig import zoo
from robustbench_aig.errors import RecipeError
from robustbench_aig.models import build_model, profile_macs
from robustbench_aig.recipes import AttackRecipe, GatedResNetRecipe, ModelRecipe, SuiteRecipe, validate

ROOT = Path(__file__).parent.parent
GATED: dict[str, Any] = tomllib.loads((ROOT / "models/digits/aig14.toml").read_text())
PLAIN: dict[str, Any] = tomllib.loads((ROOT / "models/digits/resnet14.toml").read_text())
PGD: dict[str, Any] = tomllib.loads((ROOT / "attacks/pgd.toml").read_text())


@pytest.mark.parametrize("name", zoo.model_names())
def test_shipped_models_validate_and_their_twins_point_back(name: str) -> None:
    full, recipe = zoo.find_model(name)
    assert full == name
    assert recipe.twin is not None
    twin = zoo.find_model(recipe.twin)[1]
    assert twin.twin == name
    assert twin.model.depth == recipe.model.depth
    same = {"rate_loss": None}
    assert twin.training
    assert recipe.training
    assert twin.training.model_copy(update=same) == recipe.training.model_copy(update=same)


def test_shipped_attacks_and_suites_validate() -> None:
    assert {name for name, _ in zoo.find_suite("default")} == set(zoo.attack_names())
    assert [name for name in zoo.attack_names() if zoo.find_attack(name)[1].control] == ["corners"]


def test_default_pairs_are_plain_then_gated() -> None:
    for family in ("digits", "cifar10"):
        (_, plain), (_, gated) = zoo.default_pair(family)
        assert not isinstance(plain.model, GatedResNetRecipe)
        assert isinstance(gated.model, GatedResNetRecipe)


def test_the_table_of_models_is_right() -> None:
    """Parameters and multiply-accumulates in models/README.md against the networks."""
    rows = [line.split("|")[1:-1] for line in (ROOT / "models/README.md").read_text().splitlines() if "| `" in line]
    assert {row[0].strip(" `") for row in rows} == set(zoo.model_names())
    for name, _, gates, parameters, macs in ([cell.strip(" `") for cell in row] for row in rows):
        recipe = zoo.find_model(name)[1].model
        channels, side = (1, 8) if name.startswith("digits") else (3, 32)
        model = build_model(recipe, classes=10, mean=[0.5] * channels, std=[0.2] * channels)
        assert sum(p.numel() for p in model.parameters()) == int(parameters.replace(",", ""))
        profile = profile_macs(model, (channels, side, side))
        assert len(profile.blocks) == (0 if gates == "–" else int(gates))
        assert profile.total == pytest.approx(1e6 * float(macs.removesuffix(" M")), rel=5e-3)


def changed(content: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    result = copy.deepcopy(content)
    *sections, key = path.split(".")
    place = result
    for section in sections:
        place = place[section]
    place[key] = value
    return result


@pytest.mark.parametrize(
    ("content", "path", "value", "words"),
    [
        (GATED, "training.epoch", 3, ["unknown key 'training.epoch'", "did you mean 'epochs'"]),
        (GATED, "model.dept", 3, ["unknown key 'model.dept'", "did you mean 'depth'"]),
        (GATED, "summry", "x", ["unknown key 'summry'", "did you mean 'summary'"]),
        (GATED, "training.rate_loss.reductio", "sum", ["training.rate_loss.reductio", "did you mean 'reduction'"]),
        (GATED, "training.epochs", "3", ["'training.epochs'", "integer", "'3'"]),
        (GATED, "training.epochs", 0, ["'training.epochs'", "greater than or equal to 1"]),
        (GATED, "training.rate_loss.reduction", "max", ["'training.rate_loss.reduction'", "'mean' or 'sum'"]),
        (GATED, "model.depth", 15, ["6n + 2", "15"]),
        (GATED, "model.target", [0.5, 0.6], ["6 gates", "2 targets"]),
        (GATED, "model.target", 1.5, ["'model.target'"]),
        (GATED, "model.algorithm", "resnext", ["'resnet', 'preact-resnet'"]),
        (GATED, "training.rate_loss", None, ["training.rate_loss"]),
        (PLAIN, "training.rate_loss", {}, ["training.rate_loss"]),
    ],
)
def test_wrong_model_recipes(content: dict[str, Any], path: str, value: object, words: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        validate(ModelRecipe, changed(content, path, value), "mine.toml")
    line = str(error.value)
    assert line.startswith("recipe mine.toml: ")
    assert "\n" not in line
    for word in words:
        assert word in line, line


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("attack.step_size", 0.1, ["unknown key 'attack.step_size'", "did you mean 'step"]),
        ("attack.steps", 0, ["'attack.steps'"]),
        ("attack.provider", "art", ["'attack.provider'", "'aigrob', 'torchattacks' or 'foolbox'"]),
        ("attack.algorithm", "pdg", ["'fgsm', 'pgd'"]),
    ],
)
def test_wrong_attack_recipes(path: str, value: object, words: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        validate(AttackRecipe, changed(PGD, path, value), "mine.toml")
    for word in words:
        assert word in str(error.value)


def test_an_empty_suite_is_refused() -> None:
    with pytest.raises(RecipeError, match="suite"):
        validate(SuiteRecipe, {"summary": "none", "suite": []}, "mine.toml")


@pytest.mark.parametrize(
    ("find", "name", "words"),
    [
        (zoo.find_model, "aig15", "did you mean 'aig14'"),
        (zoo.find_model, "cifar10/aig14", "unknown model"),
        (zoo.find_attack, "default", "unknown attack"),
        (zoo.find_attack, "fgms", "did you mean 'fgsm'"),
        (zoo.find_suite, "pgd", "unknown suite"),
        (zoo.find_model, "missing.toml", "cannot be read"),
        (zoo.default_pair, "imagenet", "no default pair"),
    ],
)
def test_unknown_names(find: Callable[[str], object], name: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        find(name)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text((ROOT / "attacks/pgd.toml").read_text().replace("steps = 20", "steps = 7"))
    name, recipe = zoo.find_attack(str(mine))
    assert (name, recipe.attack.model_dump()["steps"]) == ("mine", 7)
    suite = tmp_path / "suite.toml"
    suite.write_text('summary = "two"\nsuite = ["fgsm", "pgd"]\n')
    assert [name for name, _ in zoo.find_suite(str(suite))] == ["fgsm", "pgd"]


def test_one_target_stands_for_all_gates() -> None:
    recipe = validate(ModelRecipe, changed(GATED, "model.target", [0.5, 1, 0.5, 0.6, 0.7, 0.8]), "mine.toml")
    assert isinstance(recipe.model, GatedResNetRecipe)
    assert recipe.model.targets == [0.5, 1, 0.5, 0.6, 0.7, 0.8]
    assert zoo.find_model("aig14")[1].model.model_dump()["target"] == 0.6
