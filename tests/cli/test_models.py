"""`aigrob models`: what a user sees of the recipes."""

import json
from pathlib import Path

from robustbench_aig.zoo import model_names
from tests.command import aigrob_here


def test_all_recipes_with_their_figures() -> None:
    shown = aigrob_here(Path(), "models")
    assert shown.returncode == 0
    for name in model_names():
        assert f" {name} " in shown.stdout
    (line,) = [line for line in shown.stdout.splitlines() if " cifar10/aig110 " in line]
    assert line.split()[:5] == ["cifar10/aig110", "54", "1,766,630", "253.2", "M"]


def test_json_has_all_that_the_recipe_says() -> None:
    recipes = json.loads(aigrob_here(Path(), "models", "--json").stdout)
    assert list(recipes) == model_names()
    assert recipes["cifar10/aig110"]["figures"]["parameters"] == 1_766_630
    assert recipes["cifar10/aig110"]["published"]["parameters"] == "1.78 M"
