"""The recipes of other providers' attacks: each is valid, builds what it says, and says all that can be set."""

import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, get_args

import pytest
from pydantic import Field, TypeAdapter

from robustbench_aig.attacks import provider_version
from robustbench_aig.attacks.provider_registry import build_provider_attack
from robustbench_aig.attacks.providers import adv_lib, foolbox, torchattacks
from robustbench_aig.attacks.providers.provider_attack import ProviderAttack
from robustbench_aig.recipes import FgsmRecipe, PgdRecipe
from robustbench_aig.recipes.provider_attacks import (
    ProviderSettings,
)

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
    assert attack.recipe == recipe
    assert provider_version(attack.provider) == version(attack.provider)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_attack_reads_every_setting_of_its_recipe(algorithm: str) -> None:
    recipe = ALGORITHMS[algorithm]()
    read = set(re.findall(r"self\.recipe\.(\w+)", inspect.getsource(type(build_provider_attack(recipe)))))
    assert read == set(type(recipe).model_fields) - {"provider", "algorithm"}


def test_fgsm_and_pgd_of_two_providers() -> None:
    fgsm, pgd = FgsmRecipe(provider="foolbox"), PgdRecipe(provider="torchattacks", steps=3)
    assert build_provider_attack(fgsm) == foolbox.FoolboxFgsm(fgsm)
    assert build_provider_attack(pgd) == torchattacks.TorchattacksPgd(pgd)


def test_the_norms_that_each_can_search() -> None:
    assert foolbox.FoolboxFmn.norms == ("linf",)
    assert foolbox.FoolboxHopSkipJump.norms == ("linf", "l2")
    assert adv_lib.AdvLibDdn.norms == foolbox.FoolboxCw.norms == torchattacks.TorchattacksCw.norms == ("l2",)
