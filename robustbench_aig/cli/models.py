"""`aigrob models`: the networks that can be trained."""

from __future__ import annotations

import json as json_module

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from robustbench_aig.cli import options
from robustbench_aig.cli.terminal import stdout
from robustbench_aig.recipes import ModelRecipe
from robustbench_aig.zoo import find_model, model_names

EXAMPLES = """\b
Examples:
  aigrob models
  aigrob models --json | jq '."cifar10/aig110".figures'
"""


@click.command(epilog=EXAMPLES)
@options.json_option
def models(*, json: bool) -> None:
    """List the recipes in models/; aigrob train takes their names.

    Parameters and multiply-accumulates (MACs) per image, with every gate open, are for the number of classes and the
    image size of the data set that the recipe is named after.
    """
    recipes = {name: find_model(name)[1] for name in model_names()}
    if json:
        click.echo(json_module.dumps({name: recipe.model_dump(mode="json") for name, recipe in recipes.items()}))
        return
    table = Table(box=SIMPLE_HEAD)
    table.add_column("model", no_wrap=True)
    for column in ("gates", "parameters", "MACs"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("source", "summary"):
        table.add_column(column)
    for name, recipe in recipes.items():
        table.add_row(name, *_cells(recipe))
    stdout().print(table)


def _cells(recipe: ModelRecipe) -> tuple[str, ...]:
    figures = recipe.figures
    gates = str(len(recipe.model.targets)) if recipe.model.family == "gated" else "–"
    counted = (f"{figures.parameters:,}", f"{figures.macs / 1e6:.1f} M") if figures else ("–", "–")
    return gates, *counted, recipe.reference, recipe.summary
