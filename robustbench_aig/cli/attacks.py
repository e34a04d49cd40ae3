"""`aigrob attacks`: the attacks and suites."""

from __future__ import annotations

import json as json_module

import click
from rich.table import Table

from robustbench_aig.cli import options
from robustbench_aig.cli.terminal import stdout
from robustbench_aig.zoo import attack_names, find_attack, find_suite, suite_names


@click.command(epilog="\b\nExample:\n  aigrob attacks\n")
@options.json_option
def attacks(*, json: bool) -> None:
    """List the recipes in attacks/; aigrob attack takes their names with --attack and --suite."""
    recipes = {name: find_attack(name)[1] for name in attack_names()}
    suites = {name: [attack for attack, _ in find_suite(name)[0]] for name in suite_names()}
    if json:
        dumped = {name: recipe.model_dump(mode="json") for name, recipe in recipes.items()}
        click.echo(json_module.dumps({"attacks": dumped, "suites": suites}))
        return
    table = Table("attack", "provider", "summary")
    for name, recipe in recipes.items():
        table.add_row(name, recipe.attack.provider, recipe.summary)
    for name, members in suites.items():
        table.add_section()
        table.add_row(name, "suite", ", ".join(members))
    stdout().print(table)
