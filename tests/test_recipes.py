"""Recipes: what ships validates, what is wrong is told with file, key and what is allowed."""

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustbench_aig import zoo
from robustbench_aig.errors import RecipeError
from robustbench_aig.recipes import AttackRecipe, GatedResNetRecipe, ModelRecipe, SuiteRecipe, validate

ROOT = Path(__file__).parent.parent
GATED: dict[str, Any] = tomllib.loads((ROOT / "models/digits/aig14.toml").read_text())
PLAIN: dict[str, Any] = tomllib.loads((ROOT / "models/digits/resnet14.toml").read_text())
PGD: dict[str, Any] = tomllib.loads((ROOT / "attacks/pgd.toml").read_text())


@pytest.mark.parametrize("name", zoo.model_names())
def test_shipped_models_validate_and_twins_differ_in_the_gates_alone(name: str) -> None:
    full, recipe = zoo.find_model(name)
    assert full == name
    if recipe.twin is None:
        assert recipe.model.family == "stochastic" or "preact" in recipe.model.algorithm, "a control alone has no twin"
        return
    twin = zoo.find_model(recipe.twin)[1]
    assert twin.model.depth == recipe.model.depth
    assert {twin.model.family, recipe.model.family} == {"plain", "gated"}
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


BASED = 'base = "{base}"\nsummary = "changed"\n[model]\ntarget = 0.3\n[training.optimizer]\nlr = 0.05\n'


def test_a_recipe_changes_its_base_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(BASED.format(base="cifar10/aig20"))
    (_, base), (name, mine) = zoo.find_model("cifar10/aig20"), zoo.find_model(str(path))
    assert name == "mine"
    assert base.training
    changed = {"optimizer": base.training.optimizer.model_copy(update={"lr": 0.05})}
    assert mine.training == base.training.model_copy(update=changed)
    assert mine.model == base.model.model_copy(update={"target": 0.3})
    # What is said of the base alone isn't said of its heirs.
    assert (mine.twin, mine.default, mine.figures, mine.published) == (None, False, None, None)


@pytest.mark.parametrize(("base", "words"), [("cifar10/aig-20", "did you mean 'cifar10/aig20'"), ("3", "is unknown")])
def test_a_base_that_is_not_there(tmp_path: Path, base: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(BASED.format(base=base))
    with pytest.raises(RecipeError, match=words):
        zoo.find_model(str(path))


def test_recipes_that_build_on_each_other_in_a_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {name: tmp_path / f"{name}.toml" for name in "ab"}
    files["a"].write_text(BASED.format(base="b"))
    files["b"].write_text(BASED.format(base="a"))
    monkeypatch.setattr(zoo, "_files", lambda _: files)
    with pytest.raises(RecipeError, match="is based on itself"):
        zoo.find_model("a")


def test_names_are_listed_by_the_numbers_in_them() -> None:
    names = [name for name in zoo.model_names() if name.startswith("cifar10/resnet")]
    assert names == [f"cifar10/resnet{depth}" for depth in (20, 32, 44, 56, 110)]


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
        (zoo.find_model, "aig-14", "did you mean 'aig14'"),
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
