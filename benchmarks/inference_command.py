"""`aigrob bench inference`: gated networks that skip, beside those that compute every block."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from benchmarks.command_parts import document, measuring, rate_option, shown, table_of, with_interval
from robustbench_aig.cli import options
from robustbench_aig.cli.progress import counting
from robustbench_aig.cli.terminal import console
from robustbench_aig.zoo import find_model

EXAMPLES = """\b
Examples:
  aigrob bench inference
      cifar10/aig110 with half of its gates open, batches of 1, 128 and 256
  aigrob bench inference cifar10/aig20 --rate 0.7 --batch 64 --device cuda
  aigrob bench inference --json | jq '.models[].ratio_to_official'
"""


@click.command(epilog=EXAMPLES)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@rate_option(0.5, "Share of open gates.")
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 128, 256),
    show_default=True,
    metavar="N",
    help="Images at a time; may be given several times.",
)
@measuring
def inference(
    models: tuple[str, ...],
    rate: float,
    batches: tuple[int, ...],
    pairs: int,
    steps: int | None,
    device: str,
    quiet: bool,
    json: bool,
) -> None:
    """Measure gated inference: skipping closed blocks, computing all of them, and what skipping could save at most.

    MODEL is the name of a recipe (aigrob models lists them) or a path to one; weights and images are random, and which
    gates are open is given, because speed depends on neither. benchmarks/README.md says what is compared.
    """

    def measured() -> dict[str, Any]:
        from benchmarks.forced import check  # noqa: PLC0415 - imports torch
        from benchmarks.inference import measure  # noqa: PLC0415

        where, said, found = options.resolve_device(device), console(quiet=quiet), []
        recipes = [find_model(name, "cifar10") for name in models or ["cifar10/aig110"]]
        for name, recipe in recipes:
            check(name, recipe, gated=True)
        for name, recipe in recipes:
            for batch in batches:
                said.print(f"{name}, batch {batch}: {pairs} rounds of seven turns", markup=False)
                with counting(said, name) as progress:
                    part = measure(
                        name, recipe, batch=batch, rate=rate, device=where, pairs=pairs, steps=steps, progress=progress
                    )
                    found.append(part)
        return document(where, pairs, found)

    shown(measured, _table, as_json=json)


def _table(found: dict[str, Any]) -> Table:
    """Two lines per model and batch, one for each type."""
    columns = ("batch", "images/s", "× official", "× dense", "time / ideal", "error")
    table = table_of(
        found, ["model", "type"], columns, f"At rate {found['models'][0]['rate']:g}, images per second and ratios"
    )
    for part in found["models"]:
        speeds = part["images_per_second"]
        for kind in ("fp32", "bf16"):
            ratios = [with_interval(part[f"ratio_to_{key}"][kind]) for key in ("official", "dense", "ideal")]
            error = f"{part['agreement'][kind]['relative_error']:.1e}"
            row = [f"{part['batch']}", f"{speeds[f'sparse_{kind}']:,.0f}", *ratios, error]
            table.add_row(part["model"], kind, *row)
    return table
