"""`aigrob leaderboard`: the networks of many reports, ranked on one page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from robustbench_aig.cli import options
from robustbench_aig.cli.terminal import say, stdout
from robustbench_aig.files import make_folder, write_atomic
from robustbench_aig.norms import DEFAULT
from robustbench_aig.reporting.leaderboard import (
    Group,
    Leaderboard,
    board_csv,
    board_markdown,
    board_page,
    met,
    title,
)
from robustbench_aig.reporting.leaderboard import leaderboard as read_leaderboard
from robustbench_aig.reporting.words import accuracy_text
from robustbench_aig.threat import Threat

PAGE = "leaderboard.html"
EXAMPLES = """\b
Examples:
  aigrob leaderboard reports
      reports/leaderboard.html
  aigrob leaderboard reports --by linf:1/255
  aigrob leaderboard reports --format markdown --out RESULTS.md
  aigrob leaderboard reports --json | jq '.groups[].ranked[] | {rank, model, gate_policy}'
"""

_WRITERS: dict[str, Callable[[Leaderboard], str]] = {
    "html": board_page,
    "csv": board_csv,
    "markdown": board_markdown,
    "json": lambda board: board.model_dump_json() + "\n",
}


@click.command(epilog=EXAMPLES)
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR")
@click.option(
    "--by",
    metavar="NORM:EPS",
    help="Rank at this threat alone, like linf:1/255.  [default: at every threat, one table each]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_WRITERS)),
    default="html",
    show_default=True,
    help="Formats other than html go to stdout, unless --out is given.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help=f"Output file.  [default: {PAGE} in DIR, or stdout]",
)
@options.json_option
def leaderboard(directory: Path, by: str | None, form: str, out: Path | None, *, json: bool) -> None:
    """Rank the networks of all reports below DIR by robust accuracy.

    Reads every report.json. Networks are ranked with those that met the same attacks on the same images, apart by
    whether their answers are drawn. A network under a gate policy has one row; each number comes from the report in
    which it is lowest, since each robust accuracy is an upper bound. Networks that cannot be ranked are listed with the
    reason. --json is short for --format json.
    """
    if json and form not in {"html", "json"}:
        raise click.UsageError("--json and --format exclude each other")
    form = "json" if json else form
    target = out or (directory / PAGE if form == "html" else None)
    board = read_leaderboard(directory, _threat(by) if by else None, base=target.parent if target else None)
    text = _WRITERS[form](board)
    if target is None:
        click.echo(text, nl=False)
        return
    make_folder(target.parent)
    write_atomic(target, text)
    if form == "html":
        _show(board, target)


def _threat(text: str) -> Threat:
    """`linf:1/255`, or `1/255` for Linf."""
    norm, _, eps = text.rpartition(":")
    return Threat.parse(eps, norm or DEFAULT)


def _show(board: Leaderboard, page: Path) -> None:
    to = stdout()
    for group in board.first:
        to.print(_table(group, title(group, board)))
    more, left = len(board.groups) - len(board.first), len(board.unranked) + len(board.unread)
    if more:
        to.print(f"tables at other threats: {more}, on the page; --by shows one", markup=False, highlight=False)
    if left:
        to.print(f"not ranked: {left}; the page gives the reasons", markup=False, highlight=False)
    say(f"leaderboard: {page}")


def _table(group: Group, named: str) -> Table:
    table = Table(title=escape(named), title_justify="left", box=SIMPLE_HEAD)
    table.add_column("", justify="right")
    table.add_column("network", overflow="fold")
    table.add_column("gates")
    for column in ("clean", "worst case over attacks", "attacks", "checks"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("report", overflow="fold")
    for entry in group.ranked:
        standing = entry.at(group.by)
        assert standing is not None
        clean = accuracy_text(entry.clean) if entry.clean else ""
        numbers = (clean, accuracy_text(standing.accuracy), met(standing), entry.checks)
        table.add_row(str(entry.rank), escape(entry.model), entry.gate_policy, *numbers, escape(entry.report))
    return table
