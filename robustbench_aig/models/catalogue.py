"""`make figures`: counts every recipe of `models/` and writes the figures into the recipes and their README."""

from __future__ import annotations

import re
from pathlib import Path

from robustbench_aig.files import write_atomic
from robustbench_aig.models.figures import Shape, measure
from robustbench_aig.recipes import Figures, ModelRecipe
from robustbench_aig.zoo import find_model, model_names

DATA: dict[str, tuple[int, Shape]] = {"digits": (10, (1, 8, 8)), "cifar10": (10, (3, 32, 32))}
"""Folder of `models/` to the classes and image shape (C, H, W) that its recipes are counted for."""

_TABLE = re.compile(r"(?<=<!-- figures -->\n).*(?=<!-- /figures -->)", re.DOTALL)
_SECTION = re.compile(r"\n\[figures\]\n(?:[^\[\n][^\n]*\n)*")


def figures_of(name: str) -> Figures:
    """Figures of a shipped recipe, counted afresh."""
    classes, shape = DATA[name.split("/", maxsplit=1)[0]]
    return measure(find_model(name)[1].model, classes, shape)[0]


def with_figures(text: str, figures: Figures) -> str:
    """A recipe's text with its `[figures]` section replaced or added at the end."""
    lines = "".join(f"{key} = {value}\n" for key, value in figures.model_dump().items())
    return _SECTION.sub("", text).rstrip("\n") + f"\n\n[figures]\n{lines}"


def table(recipes: dict[str, ModelRecipe]) -> str:
    """The Markdown table of `models/README.md`."""
    head = "| recipe | gates | parameters | published | MACs, all open | published operations | source |\n"
    return head + "|---|---|---|---|---|---|---|\n" + "".join(_row(name, r) for name, r in recipes.items())


def _row(name: str, recipe: ModelRecipe) -> str:
    figures, published = recipe.figures, recipe.published
    assert figures is not None
    printed, operations, source = "–", "–", "–"
    if published is not None:
        counted = {"2mac": "2 × MAC", "mac": "MAC"}[published.convention]
        printed = published.parameters or "–"
        operations = f"{published.operations} ({counted})" if published.operations else "–"
        source = published.source
    gates = len(recipe.model.targets) or "–"
    cells = (
        f"`{name}`",
        gates,
        f"{figures.parameters:,}",
        printed,
        f"{figures.macs / 1e6:,.2f} M",
        operations,
        source,
    )
    return f"| {' | '.join(map(str, cells))} |\n"


def write(root: Path) -> None:
    """Bring the recipes and the README below `models/` up to date."""
    counted = {name: figures_of(name) for name in model_names()}
    for name, figures in counted.items():
        path = root / f"{name}.toml"
        write_atomic(path, with_figures(path.read_text(), figures))
    recipes = {name: find_model(name)[1].model_copy(update={"figures": figures}) for name, figures in counted.items()}
    readme = root / "README.md"
    write_atomic(readme, _TABLE.sub(lambda _: table(recipes), readme.read_text()))


if __name__ == "__main__":
    write(Path("models"))
