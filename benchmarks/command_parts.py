"""What the commands of `aigrob bench` have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from robustbench_aig.cli import options
from robustbench_aig.cli.terminal import stdout
from robustbench_aig.errors import Interrupted
from robustbench_aig.medians import coverage, interval_rank

F = TypeVar("F", bound=Callable[..., Any])


def measuring(command: F) -> F:
    """The options of every benchmark: `pairs, steps, device, quiet, json`."""
    for option in (
        options.json_option,
        options.quiet_option,
        options.device_option,
        click.option(
            "--steps",
            type=click.IntRange(min=1),
            metavar="N",
            help="Of each turn.  [default: as many as take 1.5 seconds]",
        ),
        click.option(
            "--pairs",
            type=click.IntRange(min=9),
            default=9,
            show_default=True,
            metavar="N",
            help="How many times to compare.",
        ),
    ):
        command = option(command)
    return command


def rate_option(usual: float, help_text: str) -> Callable[[F], F]:
    """`--rate`: how many of a network's gates are given as open."""
    share = click.FloatRange(0, 1, min_open=True)
    return click.option("--rate", type=share, default=usual, show_default=True, metavar="R", help=help_text)


def shown(measured: Callable[[], dict[str, Any]], table: Callable[[dict[str, Any]], Table], *, as_json: bool) -> None:
    """Measure, and print the JSON document or a table of it."""
    try:
        found = measured()
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; try again: {options.command_line()}") from None
    if as_json:
        click.echo(json.dumps(found))
    else:
        stdout().print(table(found), highlight=False)


def document(device: Any, pairs: int, models: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: ANN401 - torch's
    """The JSON document: where it was measured, how sure the intervals are, and the models' parts."""
    from robustbench_aig.environment import environment  # noqa: PLC0415 - imports torch

    enclosed = coverage(pairs, interval_rank(pairs))
    return {"environment": environment(device), "coverage": enclosed, "models": list(models)}


def table_of(found: dict[str, Any], names: Sequence[str], columns: Sequence[str], said: str) -> Table:
    """An empty table with a caption of where and how sure."""
    where, pairs = found["environment"], found["models"][0]["pairs"]
    caption = (
        f"{said}: medians of {pairs} pairs, with {found['coverage']:.1%} intervals.\n"
        f"{where['device']}, {where['threads']} threads, torch {where['torch']}"
    )
    table = Table(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    for column in names:
        table.add_column(column, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def with_interval(ratio: dict[str, float]) -> str:
    """A ratio as "2.00 (1.89 – 2.06)"."""
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} – {ratio['high']:.2f})"
