"""`aigrob bench attack`: PGD on fused networks beside torchattacks and beside bare passes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from benchmarks.command_parts import document, measuring, rate_option, shown, table_of, with_interval
from robustbench_aig.cli import options
from robustbench_aig.cli.image_options import images_of
from robustbench_aig.cli.progress import counting
from robustbench_aig.cli.terminal import console
from robustbench_aig.runs import find_run, read_run
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_model

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from benchmarks.attacked import Setting

EXAMPLES = """\b
Examples:
  aigrob bench attack
      PGD with ten steps on cifar10/resnet20 and its gated twin
  aigrob bench attack cifar10/aig110 --rate 0.5 --batch 256 --device cuda
  aigrob bench attack --run cifar10-jpeg-resnet20-short-s0 --data cifar10-jpeg --eps 1/255 --eps 8/255
      a trained network on test images: what dropping lost images gains, and whether the verdicts agree
  aigrob bench attack --json | jq '.models[].ratio_to_torchattacks'
"""
_DEFAULT = ("cifar10/resnet20", "cifar10/aig20")


@click.command(epilog=EXAMPLES)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--eps",
    "threats",
    type=options.ball,
    multiple=True,
    default=["8/255"],
    show_default=True,
    metavar="EPS",
    help="Radius of the linf ball, repeatable.",
)
@rate_option(0.6, "Share of open gates of a MODEL.")
@click.option(
    "--batch", type=click.IntRange(min=1), default=128, show_default=True, metavar="N", help="Images at a time."
)
@click.option("--run", "runs", multiple=True, metavar="RUN", help="A trained network and its test images, repeatable.")
@options.moved_data_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    metavar="N",
    help="Test images of a RUN that verdicts are compared on.",
)
@options.runs_option
@measuring
def attack(
    models: tuple[str, ...],
    threats: tuple[Threat, ...],
    rate: float,
    batch: int,
    runs: tuple[str, ...],
    data: str | None,
    limit: int,
    runs_root: Path,
    pairs: int,
    steps: int | None,
    device: str,
    quiet: bool,
    json: bool,
) -> None:
    """Measure PGD of ten steps: aigrob's on fused networks, torchattacks', and forward and input gradient alone.

    MODEL is the name of a recipe (aigrob models lists them) or a path to one; weights and images are random, labels are
    the network's own predictions, and which gates are open is given. A RUN has its trained weights, argmax gates that
    decide by themselves, and test images with their labels. benchmarks/README.md says what is compared.
    """

    def measured() -> dict[str, Any]:
        from benchmarks.attack import measure  # noqa: PLC0415 - imports torch

        where, said, found = options.resolve_device(device), console(quiet=quiet), []
        settings = [
            *_random(models or (() if runs else _DEFAULT), batch, rate, where),
            *_trained(runs, runs_root, data, max(limit, batch), where),
        ]
        for setting, threat in product(settings, dict.fromkeys(threats)):
            said.print(f"{setting.name}, {threat}: {pairs} rounds", markup=False)
            with counting(said, setting.name) as progress:
                found.append(measure(setting, threat, batch=batch, pairs=pairs, steps=steps, progress=progress))
        return document(where, pairs, found)

    shown(measured, _table, as_json=json)


def _random(names: Sequence[str], batch: int, rate: float, device: torch.device) -> list[Setting]:
    """Recipes, all checked before the first one is built."""
    from benchmarks.attacked import random_setting  # noqa: PLC0415 - imports torch
    from benchmarks.forced import check  # noqa: PLC0415

    recipes = [find_model(name, "cifar10") for name in names]
    for name, recipe in recipes:
        check(name, recipe, gated=False)
    return [random_setting(name, recipe, batch, rate, device) for name, recipe in recipes]


def _trained(names: Sequence[str], root: Path, data: str | None, limit: int, device: torch.device) -> list[Setting]:
    """Runs, each with the first test images of the order that `aigrob attack` has."""
    from benchmarks.attacked import trained_setting  # noqa: PLC0415 - imports torch
    from robustbench_aig.training import load_model  # noqa: PLC0415 - imports torch

    runs = [(path, read_run(path)) for path in (find_run(name, root) for name in names)]
    settings = []
    for path, record in runs:
        images, _ = images_of(record.data, source=data, limit=limit, seed=0)
        there = images.to(device)
        settings.append(trained_setting(record.name, load_model(path, device), there.batch(slice(None)), there.labels))
    return settings


def _table(found: dict[str, Any]) -> Table:
    """Two lines per model and ball, one for each type."""
    columns = ["images/s", "× torchattacks", "× with dropping", "time / floor", "× dense", "memory"]
    judged = any(part["verdicts"] for part in found["models"])
    table = table_of(
        found,
        ["model", "type"],
        [*columns, "kept", "same verdict"] if judged else columns,
        f"PGD of ten steps, {', '.join(dict.fromkeys(part['threat'] for part in found['models']))}, ratios"
        + ("; kept: accuracy after dropping, after torchattacks" if judged else ""),
    )
    for part in found["models"]:
        speeds, theirs = part["images_per_second"], part["ratio_to_torchattacks"]
        for kind in ("fp32", "bf16"):
            ratios = [theirs[kind], theirs[f"{kind}_dropping"], part["ratio_to_floor"][kind]]
            dense = with_interval(part["ratio_to_dense"][kind]) if part["ratio_to_dense"] else "–"
            share = part["memory_ratio_to_torchattacks"][kind]
            row = [f"{speeds[kind]:,.0f}", *map(with_interval, ratios), dense, "–" if share is None else f"{share:.2f}"]
            kept = _verdicts(part["verdicts"], f"{kind}_dropping") if judged else []
            table.add_row(part["model"], kind, *row, *kept)
    return table


def _verdicts(found: dict[str, Any] | None, way: str) -> list[str]:
    if found is None:
        return ["–", "–"]
    kept = found["robust_accuracy"]
    return [f"{kept[way]:.1%}, {kept['torchattacks']:.1%}", f"{found['same_verdict'][way]:.1%}"]
