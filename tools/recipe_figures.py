"""`make figures`: counts every recipe of `models/` and writes the figures into the recipes and their README."""

from __future__ import annotations

import re
from pathlib import Path

from robustbench_aig.files import write_atomic
from robustbench_aig.models.network_figures import measure
from robustbench_aig.recipes import Figures, ModelRecipe
from robustbench_aig.threat import Shape
from robustbench_aig.zoo import find_model, model_names

DATA: dict[str, tuple[int, Shape]] = {
    "cifar10": (10, (3, 32, 32)),
    "cifar100": (100, (3, 32, 32)),
    "digits": (10, (1, 8, 8)),
    "imagefolder": (10, (3, 128, 128)),
    "imagenet": (1000, (3, 224, 224)),
    "svhn": (10, (3, 32, 32)),
}
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
    """The Markdown table of `models/README.md`, and below it what explains the starred figures."""
    head = "| recipe | gates | parameters | published | MACs, all open | published operations | source |\n"
    rows = "".join(_row(name, recipe) for name, recipe in recipes.items())
    notes: dict[str, list[str]] = {}
    for name, recipe in recipes.items():
        for what, why in ((recipe.published and recipe.published.exception) or {}).items():
            notes.setdefault(f"{what}: {why}", []).append(f"`{name}`")
    starred = "".join(f"- {', '.join(names)}, {why}\n" for why, names in notes.items())
    head += "|---|---|---|---|---|---|---|\n"
    return f"{head}{rows}\n\\* differs from ours by more than 1 % and one unit of the last digit:\n\n{starred}"


def _row(name: str, recipe: ModelRecipe) -> str:
    figures, published = recipe.figures, recipe.published
    assert figures is not None
    printed, operations, source = "–", "–", "–"
    if published is not None:
        counted = {"2mac": "2 × MAC", "mac": "MAC"}[published.convention]
        stars = dict.fromkeys(published.exception or (), " \\*")
        if published.parameters:
            printed = published.parameters + stars.get("parameters", "")
        if published.operations:
            operations = f"{published.operations} ({counted}){stars.get('operations', '')}"
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
