"""`aigrob bench attack`: PGD on lean networks beside torchattacks and beside bare passes."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from robustbench_aig.cli import options
from robustbench_aig.cli.bench_common import document, find_benchmarks, measuring, shown, table_of, with_interval
from robustbench_aig.cli.progress import counting
from robustbench_aig.cli.terminal import console
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_model

EXAMPLES = """\b
Examples:
  aigrob bench attack
      PGD with ten steps on cifar10/resnet20 and its gated twin
  aigrob bench attack cifar10/aig110 --rate 0.5 --batch 256 --device cuda
  aigrob bench attack --json | jq '.models[].ratio_to_torchattacks'
"""
_DEFAULT = ("cifar10/resnet20", "cifar10/aig20")


@click.command(epilog=EXAMPLES)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--eps", default="8/255", show_default=True, metavar="EPS", help="Radius of the linf ball.")
@click.option(
    "--rate",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.6,
    show_default=True,
    metavar="R",
    help="Share of open gates.",
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=128, show_default=True, metavar="N", help="Images at a time."
)
@measuring
def attack(
    models: tuple[str, ...],
    eps: str,
    rate: float,
    batch: int,
    pairs: int,
    steps: int | None,
    device: str,
    quiet: bool,
    json: bool,
) -> None:
    """Measure PGD of ten steps: aigrob's on lean networks, torchattacks', and forward and input gradient alone.

    MODEL is the name of a recipe (aigrob models lists them) or a path to one; weights and images are random, labels are
    the network's own predictions, and which gates are open is given. benchmarks/README.md says what is compared.
    """
    find_benchmarks()
    threat = Threat.parse(eps)

    def measured() -> dict[str, Any]:
        from benchmarks.attack import measure  # noqa: PLC0415 - there in a checkout alone
        from benchmarks.forced import check  # noqa: PLC0415

        where, said, found = options.resolve_device(device), console(quiet=quiet), []
        recipes = [find_model(name, "cifar10") for name in models or _DEFAULT]
        for name, recipe in recipes:
            check(name, recipe, gated=False)
        for name, recipe in recipes:
            said.print(f"{name}: {pairs} rounds", markup=False)
            with counting(said, name) as progress:
                part = measure(
                    name,
                    recipe,
                    threat,
                    batch=batch,
                    rate=rate,
                    device=where,
                    pairs=pairs,
                    steps=steps,
                    progress=progress,
                )
                found.append(part)
        return document(where, pairs, found)

    shown(measured, _table, as_json=json)


def _table(found: dict[str, Any]) -> Table:
    """Two lines per model, one for each type."""
    columns = ("images/s", "× torchattacks", "× with dropping", "time / floor", "× dense", "memory")
    table = table_of(found, ["model", "type"], columns, "PGD of ten steps, images per second and ratios")
    for part in found["models"]:
        speeds, theirs = part["images_per_second"], part["ratio_to_torchattacks"]
        for kind in ("fp32", "bf16"):
            ratios = [theirs[kind], theirs[f"{kind}_dropping"], part["ratio_to_floor"][kind]]
            dense = with_interval(part["ratio_to_dense"][kind]) if part["ratio_to_dense"] else "–"
            share = part["memory_ratio_to_torchattacks"][kind]
            row = [f"{speeds[kind]:,.0f}", *map(with_interval, ratios), dense]
            table.add_row(part["model"], kind, *row, "–" if share is None else f"{share:.2f}")
    return table
