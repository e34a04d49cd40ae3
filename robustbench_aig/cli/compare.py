"""`aigrob compare`: two reports beside each other."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from robustbench_aig.cli import options
from robustbench_aig.cli.terminal import say, stdout
from robustbench_aig.reporting.compare import ReportComparison, compare_reports
from robustbench_aig.reporting.compare.changes import Change, Measurement
from robustbench_aig.reporting.words import around, attack_text, number, p_text, signed

EXAMPLES = """\b
Examples:
  aigrob compare reports/before reports/after
  aigrob compare reports/seed0 reports/seed1/report.json
  aigrob compare reports/before reports/after --json | jq '.changes[] | select(.significant)'
"""

_PATH = click.Path(exists=True, path_type=Path)


@click.command(epilog=EXAMPLES)
@click.argument("first", type=_PATH, metavar="A")
@click.argument("second", type=_PATH, metavar="B")
@options.json_option
def compare(first: Path, second: Path, *, json: bool) -> None:
    """Compare two reports, and say which differences are significant.

    A and B are report directories, or report.json files. Results with the same model, gate policy, attack and threat
    in both are compared: on the same images if the sample tables are beside the reports, else by the two intervals.
    The intervals of all differences have a joint coverage of 95 %, and a difference is significant if its interval
    excludes 0. Notes name other differences of the two; reports on different data sets are refused.
    """
    found = compare_reports(first, second)
    if json:
        click.echo(found.model_dump_json())
        return
    _show(found, stdout())


def _show(found: ReportComparison, to: Console) -> None:
    for model, changes in groupby(found.changes, key=_model):
        to.print(_table(model, changes))
    lines = [f"A: {found.first}", f"B: {found.second}", *(f"note: {note}" for note in found.notes)]
    lines += _only("A", found.gone, {_model(one) for one in [*found.changes, *found.new]})
    lines += _only("B", found.new, {_model(one) for one in [*found.changes, *found.gone]})
    if not found.changes:
        lines.append("no model under the same gate policy, attack and threat is in both")
    say(*lines)


def _table(model: str, changes: Iterable[Change]) -> Table:
    table = Table(title=f"{escape(model)}: accuracy, %", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("threat", no_wrap=True)
    table.add_column("attack", overflow="fold")
    for column in ("A", "B", "B - A, points", "images", "p, adjusted"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("reading", no_wrap=True)
    for change in changes:
        table.add_row(*_cells(change), style="bold" if change.significant else None)
    return table


def _cells(change: Change) -> list[str]:
    return [
        str(change.threat or ""),
        escape(attack_text(change.attack)),
        number(100 * change.first),
        number(100 * change.second),
        f"{signed(change.difference)} {around(change.low, change.high)}",
        str(change.n),
        p_text(change.adjusted_p) if change.paired else "not paired",
        change.reading,
    ]


def _only(side: str, measured: list[Measurement], elsewhere: set[str]) -> list[str]:
    """A line for each model that has something which the other report lacks, if not the whole model."""
    lines = []
    for model, of_model in groupby(measured, key=_model):
        told = f": {', '.join(map(_told, of_model))}" if model in elsewhere else ""
        lines.append(f"only in {side}: {model}{told}")
    return lines


def _told(one: Measurement) -> str:
    under = f" at {one.threat}" if one.threat else ""
    return f"{attack_text(one.attack)}{under}"


def _model(one: Measurement) -> str:
    return one.model if one.gate_policy == "none" else f"{one.model} · {one.gate_policy}"
