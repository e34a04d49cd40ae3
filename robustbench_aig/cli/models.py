"""`aigrob models`: the networks that can be trained."""

from __future__ import annotations

import json as json_module

import click
from rich.table import Table

from robustbench_aig.cli import options
from robustbench_aig.cli.tables import stdout
from robustbench_aig.zoo import find_model, model_names


@click.command(epilog="\b\nExample:\n  aigrob models\n")
@options.json_option
def models(*, json: bool) -> None:
    """List the recipes in models/; aigrob train takes their names."""
    recipes = {name: find_model(name)[1] for name in model_names()}
    if json:
        click.echo(json_module.dumps({name: recipe.model_dump(mode="json") for name, recipe in recipes.items()}))
        return
    table = Table("model", "depth", "gates", "epochs", "summary")
    for name, recipe in recipes.items():
        gates = str(getattr(recipe.model, "gates", "–"))
        table.add_row(name, str(recipe.model.depth), gates, "", recipe.summary)
    stdout().print(table)
