"""Recipes: what ships validates, what is wrong is told with file, key and what is allowed."""

import copy
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustbench_aig import zoo
from robustbench_aig.errors import RecipeError
from robustbench_aig.recipes import PRESETS, AttackRecipe, GatedResNetRecipe, ModelRecipe, SuiteRecipe, validate
from robustbench_aig.reporting.words import attack_text
from robustbench_aig.training.schedule import factor

ROOT = Path(__file__).parent.parent
GATED: dict[str, Any] = tomllib.loads((ROOT / "models/digits/aig14.toml").read_text())
PLAIN: dict[str, Any] = tomllib.loads((ROOT / "models/digits/resnet14.toml").read_text())
PGD: dict[str, Any] = tomllib.loads((ROOT / "attacks/pgd.toml").read_text())


@pytest.mark.parametrize("name", zoo.model_names())
def test_shipped_models_validate_and_twins_differ_in_the_gates_alone(name: str) -> None:
    full, recipe = zoo.find_model(name)
    assert full == name
    if recipe.twin is None:
        assert recipe.model.family != "gated", "a control alone has no twin"
        return
    twin = zoo.find_model(recipe.twin)[1]
    assert twin.model.depth == recipe.model.depth
    assert {twin.model.family, recipe.model.family} == {"plain", "gated"}
    if recipe.training and recipe.training.gates:
        return  # it begins with the weights of its twin, so that its own training is another
    assert twin.presets.keys() == recipe.presets.keys()
    for preset in PRESETS:
        ours, others = (one.chosen(preset).training for one in (recipe, twin))
        assert ours
        assert others
        same = {"rate_loss": None}
        assert ours.model_copy(update=same) == others.model_copy(update=same)


def test_the_paper_preset_is_the_official_recipe_to_the_letter() -> None:
    """train.py of the official code: epochs range(1, 350), SGD 0.1, x0.1 at 150 and 250; loss factor 2, target 0.6."""
    recipe = zoo.find_model("cifar10/aig110")[1].chosen("paper")
    training = recipe.training
    assert training
    assert recipe.preset == "paper"
    assert (training.epochs, training.batch, training.label_smoothing) == (349, 256, 0)
    assert training.optimizer.model_dump() == {"lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 5e-4}
    rates = [0.1 * factor(training.schedule, 0, 1, epoch - 1) for epoch in range(1, 350)]
    assert rates == pytest.approx([0.1] * 149 + [0.01] * 100 + [0.001] * 100)
    assert training.augment.model_dump() == {"crop": 0.125, "flip": True}
    assert training.rate_loss
    assert training.rate_loss.model_dump() == {"weight": 2.0, "reduction": "mean", "temperature": 1.0}
    printed = zoo.find_model("cifar10/aig110-sum")[1].chosen("paper").training
    assert printed
    assert printed.rate_loss
    assert (printed.rate_loss.weight, printed.rate_loss.reduction) == (1.0, "sum")


def test_presets_say_what_they_change_of_the_shared_section() -> None:
    recipe = zoo.find_model("cifar10/aig20")[1]
    assert recipe.training is None
    assert list(recipe.presets) == list(PRESETS)
    short = recipe.chosen("short")
    assert short.training == recipe.presets["short"]
    assert (short.presets, short.preset) == ({}, "short")
    # A chosen recipe is what a run's record holds, and reads back as it was.
    assert ModelRecipe.model_validate_json(short.model_dump_json()) == short


def test_a_recipe_without_presets_is_what_it_is() -> None:
    recipe = zoo.find_model("digits/aig14")[1]
    assert recipe.chosen("paper") == recipe


def test_a_preset_that_is_not_there() -> None:
    content = copy.deepcopy(GATED)
    content["presets"] = {"short": {"epochs": 3}}
    recipe = validate(ModelRecipe, content, "here")
    with pytest.raises(RecipeError, match="no preset 'long'"):
        recipe.chosen("long")
    content["presets"] = {"brief": {"epochs": 3}}
    with pytest.raises(RecipeError, match="'paper', 'long' or 'short'"):
        validate(ModelRecipe, content, "here")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "free"}, "'pgd', 'trades' or 'fast'"),
        ({"method": "pgd", "eps": "8"}, "did you mean 8/255"),
        ({"method": "pgd", "eps": "0"}, "above 0"),
        ({"method": "fast", "steps": 3}, "a single step"),
        ({"method": "pgd", "gates": "frozen"}, "sampled"),
    ],
)
def test_adversarial_settings_that_cannot_be_meant(settings: dict[str, Any], words: str) -> None:
    content = copy.deepcopy(GATED)
    content["training"]["adversarial"] = settings
    with pytest.raises(RecipeError, match=words):
        validate(ModelRecipe, content, "here")


def test_shipped_claims_validate() -> None:
    found = [zoo.find_claim(name) for name in zoo.claim_names()]
    assert {name for name, _ in found} >= {"more-robust", "adds-to-jpeg", "gates-hardly-move", "as-accurate"}
    assert len({recipe.sentence for _, recipe in found}) == len(found)
    with pytest.raises(RecipeError, match="unknown claim 'more-robus': did you mean 'more-robust'"):
        zoo.find_claim("more-robus")


def test_a_claim_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('sentence = "Mine"\n[claim]\nabout = "movement"\nmost = 0.1\npolicies = ["argmax"]\n')
    assert zoo.find_claim(str(path))[0] == "mine"
    path.write_text('sentence = "Mine"\n[claim]\nabout = "movement"\nmots = 0.1\n')
    with pytest.raises(RecipeError, match=r"unknown key 'claim\.mots'.*'most'"):
        zoo.find_claim(str(path))


def test_shipped_attacks_and_suites_validate() -> None:
    for suite in zoo.suite_names():
        attacks, cascade = zoo.find_suite(suite)
        assert len({name for name, _ in attacks}) == len(attacks)
        assert cascade == (suite in ("quick", "strength"))  # the others compare attacks with each other
    roles = {name: zoo.find_attack(name)[1].role for name in zoo.attack_names()}
    controls = {"corners", "grey-image", "noise-image", "permuted", "uniform-noise"}
    assert {name for name, role in roles.items() if role == "control"} == controls
    assert {name for name, role in roles.items() if role == "compute"} == {
        "compute-up",
        "compute-down",
        "compute-up-kept",
    }


def test_controls_are_found_by_the_names_that_readers_see() -> None:
    """What is recorded stays, so that a finished evaluation is found again."""
    assert zoo.find_attack("random-sign") == zoo.find_attack("corners")
    assert zoo.find_attack("shuffled:of.steps=3") == zoo.find_attack("permuted:of.steps=3")
    assert attack_text("permuted:of.steps=3") == "shuffled perturbations:of.steps=3"


def test_default_pairs_are_plain_then_gated() -> None:
    for family, device, depth in (
        ("digits", "cpu", 14),
        ("digits", "cuda", 14),
        ("cifar10", "cpu", 20),
        ("cifar10", "cuda", 110),
    ):
        (_, plain), (_, gated) = zoo.default_pair(family, device)
        assert plain.model.depth == gated.model.depth == depth
        assert not isinstance(plain.model, GatedResNetRecipe)
        assert isinstance(gated.model, GatedResNetRecipe)


BASED = """
base = "{base}"
summary = "changed"
model = {{ target = 0.3 }}
training = {{ optimizer = {{ lr = 0.05 }} }}
presets = {{ short = {{ epochs = 3 }} }}
"""


def test_a_recipe_changes_its_base_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(BASED.format(base="cifar10/aig20"))
    (_, base), (name, mine) = zoo.find_model("cifar10/aig20"), zoo.find_model(str(path))
    assert name == "mine"
    shorter = base.presets["short"]
    changed = {"optimizer": shorter.optimizer.model_copy(update={"lr": 0.05})}
    # Whatever this file says goes above all that its base says, a preset's own settings included.
    assert mine.presets["short"] == shorter.model_copy(update=changed | {"epochs": 3})
    assert {preset: training.optimizer.lr for preset, training in mine.presets.items()} == dict.fromkeys(PRESETS, 0.05)
    assert mine.presets["paper"].epochs == 349
    assert mine.model == base.model.model_copy(update={"target": 0.3})
    # What is said of the base alone isn't said of its heirs.
    assert (mine.twin, mine.default, mine.figures, mine.published) == (None, [], None, None)


@pytest.mark.parametrize(
    ("base", "schedule"),
    [
        ("imagenet/aig50", {"kind": "triangular", "peak": 0.1}),
        ("digits/aig14", {"kind": "steps", "at": [2], "factor": 0.5}),
    ],
)
def test_another_kind_of_schedule_takes_no_keys_of_the_base_s(
    base: str, schedule: dict[str, object], tmp_path: Path
) -> None:
    keys = ", ".join(f'{key} = "{value}"' if key == "kind" else f"{key} = {value}" for key, value in schedule.items())
    path = tmp_path / "mine.toml"
    path.write_text(f'base = "{base}"\nsummary = "changed"\ntraining = {{ schedule = {{ {keys} }} }}\n')
    training = zoo.find_model(str(path))[1].chosen("paper").training
    assert training is not None
    assert training.schedule.model_dump() == schedule


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
    assert names == [f"cifar10/resnet{rest}" for rest in ("20", "20-brief", "32", "44", "56", "110")]


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
        (GATED, "model.algorithm", "resnext", ["unknown 'resnext'; did you mean"]),
        (GATED, "training.rate_loss", None, ["training.rate_loss"]),
        (PLAIN, "training.rate_loss", {}, ["training.rate_loss"]),
        (PLAIN, "training.gates", {}, ["training.gates belongs to a gated model"]),
        (GATED, "training.gates", {"argmax_from": 1.5}, ["training.gates.argmax_from", "less than or equal to 1"]),
        (GATED, "training.gates", {"batch_shaping": {"weight": 1.0, "a": 0.0}}, ["training.gates.batch_shaping.a"]),
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
        ("attack.algorithm", "pdg", ["unknown 'pdg'; did you mean 'pgd'?"]),
    ],
)
def test_wrong_attack_recipes(path: str, value: object, words: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        validate(AttackRecipe, changed(PGD, path, value), "mine.toml")
    for word in words:
        assert word in str(error.value)


def test_an_attack_with_changes() -> None:
    name, recipe = zoo.find_attack("pgd:gates=leaded,gates.slope=3,steps=50,keep=best")
    assert name == "pgd:gates=leaded,gates.slope=3,steps=50,keep=best"
    settings = recipe.attack.model_dump()
    assert settings["gates"] == {"mode": "leaded", "draws": 1, "slope": 3.0, "hard": False}
    assert (settings["steps"], settings["step"], settings["keep"]) == (50, PGD["attack"]["step"], "best")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ("gates=leded", "key 'attack.gates': unknown 'leded'; did you mean 'leaded'?"),
        ("gates.slope=3", "key 'attack.gates': 'mode' is missing"),
        ("step", "'step' must be key=value, like pgd:steps=50,gates=open"),
        ("steps=", "must be key=value"),
        ("stps=3", "unknown key 'attack.stps'; did you mean 'steps'?"),
        ("gates=leaded,gates.slop=3", "unknown key 'attack.gates.slop'; did you mean 'slope'?"),
        ("gates=score-function,gates.draws=1", "'attack.gates.draws'"),
        ("objective=joint,objective.weight=x", "'attack.objective.weight'"),
        ("provider=foolbox,gates=open", "only provider 'aigrob' knows this, not 'foolbox'"),
    ],
)
def test_changes_that_cannot_be_meant(changes: str, words: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(words)):
        zoo.find_attack(f"pgd:{changes}")


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
        (lambda family: zoo.default_pair(family, "cpu"), "imagenet", "no default pair"),
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
    assert [name for name, _ in zoo.find_suite(str(suite))[0]] == ["fgsm", "pgd"]


def test_one_target_stands_for_all_gates() -> None:
    recipe = validate(ModelRecipe, changed(GATED, "model.target", [0.5, 1, 0.5, 0.6, 0.7, 0.8]), "mine.toml")
    assert isinstance(recipe.model, GatedResNetRecipe)
    assert recipe.model.targets == [0.5, 1, 0.5, 0.6, 0.7, 0.8]
    assert zoo.find_model("aig14")[1].model.model_dump()["target"] == 0.6
