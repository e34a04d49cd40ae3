"""Figures of the shipped recipes: counted, printed and published ones agree."""

import re
from pathlib import Path

import pytest

from robustbench_aig.models import measure
from robustbench_aig.recipes import Figures, GatedResNetRecipe, ResNetRecipe
from robustbench_aig.threat import Shape
from robustbench_aig.zoo import default_pair, find_model, model_names, recipes_for
from tools.recipe_figures import DATA, figures_of, table, with_figures

README = Path(__file__).parents[2] / "models" / "README.md"
UNITS = {"k": 1e3, "M": 1e6, "G": 1e9}
CIFAR = (3, 32, 32)


def printed(text: str) -> tuple[float, float]:
    """Value of a printed figure, and one unit of its last digit."""
    found = re.fullmatch(r"(\d+)(?:\.(\d+))? ([kMG])", text)
    assert found, text
    unit = UNITS[found[3]]
    return float(f"{found[1]}.{found[2] or 0}") * unit, unit / 10 ** len(found[2] or "")


def close(ours: float, text: str) -> bool:
    value, last_digit = printed(text)
    return abs(ours - value) <= max(0.01 * value, last_digit)


@pytest.mark.parametrize("name", model_names())
def test_figures_in_the_recipe_are_those_of_the_network(name: str) -> None:
    recipe = find_model(name)[1]
    assert recipe.figures == figures_of(name), "run make figures"
    assert recipe.figures.shape == list(DATA[name.split("/", maxsplit=1)[0]][1])


@pytest.mark.parametrize("name", [name for name in model_names() if find_model(name)[1].published])
def test_figures_are_the_published_ones(name: str) -> None:
    """Within 1 % or one unit of the last printed digit, in the convention of the source; an exception has to be one."""
    recipe = find_model(name)[1]
    assert recipe.published
    assert recipe.figures
    exceptions = recipe.published.exception or {}
    operations = recipe.figures.macs * (2 if recipe.published.convention == "2mac" else 1)
    compared = {
        "parameters": (recipe.figures.parameters, recipe.published.parameters),
        "operations": (operations, recipe.published.operations),
    }
    for what, (ours, theirs) in compared.items():
        if theirs is None:
            assert what not in exceptions
        else:
            assert close(ours, theirs) != (what in exceptions), (ours, theirs)


def test_the_readme_shows_the_table() -> None:
    recipes = {name: find_model(name)[1] for name in model_names()}
    assert table(recipes) in README.read_text(), "run make figures"


def test_rewriting_figures_changes_nothing_else() -> None:
    old = "[figures]\nclasses = 2\nshape = [1, 8, 8]\nparameters = 3\nmacs = 4\n"
    text = f'summary = "x"\n\n[model]\ndepth = 8\n\n{old}\n[published]\nsource = "y"\n'
    figures = Figures(classes=10, shape=[3, 32, 32], parameters=30, macs=40)
    new = with_figures(text, figures)
    assert with_figures(new, figures) == new
    without = new.replace("\n[figures]\nclasses = 10\nshape = [3, 32, 32]\nparameters = 30\nmacs = 40\n", "")
    assert without == 'summary = "x"\n\n[model]\ndepth = 8\n\n[published]\nsource = "y"\n'


@pytest.mark.parametrize("data", DATA)
def test_every_data_set_has_a_default_pair(data: str) -> None:
    """The same number of layers, one network gated, trained alike; the paper's depth where there is a GPU."""
    for device in ("cpu", "cuda") if data != "imagenet" else ("cuda",):
        (_, plain), (name, gated) = default_pair(data, device)
        assert (plain.model.family, gated.model.family) == ("plain", "gated")
        assert plain.model.depth == gated.model.depth
        assert gated.figures
        assert gated.figures.shape == list(DATA[data][1])
        assert name.split("/")[0] == data


@pytest.mark.parametrize(
    ("data", "shape", "folder"),
    [
        ("cifar100", (3, 32, 32), "cifar100"),
        ("svhn", (3, 32, 32), "svhn"),
        ("imagenet", (3, 64, 64), "imagenet"),
        ("cifar10-jpeg", (3, 32, 32), "cifar10"),
        ("cifar", (3, 95, 200), "cifar10"),
        ("flowers", (3, 96, 128), "imagefolder"),
        ("numbers", (1, 23, 32), "digits"),
    ],
)
def test_data_sets_without_recipes_of_their_own_go_by_size(data: str, shape: Shape, folder: str) -> None:
    assert recipes_for(data, shape) == folder


# Figures of the paper (arXiv 1711.11503) that need no training. Its CIFAR-10 table counts two operations per MAC.


def test_overhead_of_the_gates_of_the_110_layer_network() -> None:
    """Published: 0.01 % of the operations, 4.8 % of the parameters.

    The operations agree. 35,916 parameters are 2.1 % of 1,730,714; 4.8 % is what the rounded table entries 1.78 M and
    1.70 M give.
    """
    plain = measure(ResNetRecipe(algorithm="resnet", depth=110), 10, CIFAR)[0]
    gated = measure(GatedResNetRecipe(algorithm="gated-resnet", depth=110), 10, CIFAR)[0]
    assert f"{(gated.macs - plain.macs) / plain.macs:.2%}" == "0.01%"
    assert gated.parameters - plain.parameters == 35_916
    assert f"{(gated.parameters - plain.parameters) / plain.parameters:.1%}" == "2.1%"
    assert f"{1.78 / 1.70 - 1:.1%}" == "4.7%"


@pytest.mark.parametrize(
    ("rate", "published"),
    [(0.82, "0.41 G"), (1.0, "0.5 G"), (1.0, "0.51 G")],
    ids=["table 1", "starred", "to two digits"],
)
def test_operations_of_the_110_layer_network_at_the_quoted_execution_rate(rate: float, published: str) -> None:
    """0.41 GFLOPs at "82 % of the layers", 0.5 with all of them, at 2 x MAC."""
    profile = measure(GatedResNetRecipe(algorithm="gated-resnet", depth=110), 10, CIFAR)[1]
    assert close(2 * (profile.fixed + rate * sum(profile.blocks)), published)


def test_multiply_accumulates_of_resnet_110_as_skipnet_counts_them() -> None:
    """SkipNet (arXiv 1711.09485) prints 2.53e8 for the same network, counting MACs."""
    assert f"{measure(ResNetRecipe(algorithm='resnet', depth=110), 10, CIFAR)[0].macs:.2e}" == "2.53e+08"
