"""The recipes of other providers' attacks: each is valid, builds what it says, and says all that can be set."""

import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, get_args

import pytest
from pydantic import Field, TypeAdapter

from robustbench_aig.attacks import provider_version
from robustbench_aig.attacks.provider_registry import attribute_names, build_provider_attack
from robustbench_aig.attacks.providers import adv_lib, foolbox, torchattacks
from robustbench_aig.attacks.providers.provider_attack import ProviderAttack
from robustbench_aig.recipes import FgsmRecipe, PgdRecipe
from robustbench_aig.recipes.provider_attacks import ProviderSettings

ALGORITHMS = {
    algorithm: section
    for section in get_args(ProviderSettings)
    for algorithm in get_args(section.model_fields["algorithm"].annotation)
}
SETTINGS: TypeAdapter[ProviderSettings] = TypeAdapter(Annotated[ProviderSettings, Field(discriminator="algorithm")])
ROOT = Path(__file__).parent.parent.parent / "attacks"
CONTENT = {path.stem: tomllib.loads(path.read_text()) for path in sorted(ROOT.glob("*.toml"))}
RECIPES = {
    name: content for name, content in CONTENT.items() if content.get("attack", {}).get("algorithm") in ALGORITHMS
}


def test_every_algorithm_has_a_recipe() -> None:
    assert {content["attack"]["algorithm"] for content in RECIPES.values()} == set(ALGORITHMS)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_builds_what_it_says(name: str) -> None:
    recipe = SETTINGS.validate_python(RECIPES[name]["attack"])
    attack = build_provider_attack(recipe)
    assert isinstance(attack, ProviderAttack)
    assert attack.provider == recipe.provider
    assert (
        attack.provider in name or name in {"autoattack", "autoattack-rand", "hopskipjump"} or name.endswith("advlib")
    )
    for key, value in recipe.model_dump(exclude={"provider", "algorithm"}).items():
        assert getattr(attack, key) == value
    assert provider_version(attack.provider) == version(attack.provider)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_recipes_defaults_are_those_of_the_attack(algorithm: str) -> None:
    section = ALGORITHMS[algorithm]
    recipe = section(algorithm=algorithm)
    attack = build_provider_attack(recipe)
    keys = set(section.model_fields) - {"provider", "algorithm"}
    assert attack == type(attack)()
    assert keys == attribute_names(type(attack)) - {"stretched"}


def test_fgsm_and_pgd_of_two_providers() -> None:
    assert build_provider_attack(FgsmRecipe(algorithm="fgsm", provider="foolbox")) == foolbox.FoolboxFgsm()
    recipe = PgdRecipe(algorithm="pgd", provider="torchattacks", steps=3, step=0.5, random_start=False)
    assert build_provider_attack(recipe) == torchattacks.TorchattacksPgd(steps=3, step=0.5, random_start=False)


def test_the_norms_that_each_can_search() -> None:
    assert foolbox.FoolboxFmn().norms == ("linf",)
    assert foolbox.FoolboxHopSkipJump().norms == ("linf", "l2")
    assert adv_lib.AdvLibDdn().norms == foolbox.FoolboxCw().norms == torchattacks.TorchattacksCw().norms == ("l2",)
