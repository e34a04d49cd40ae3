"""`aigrob report`: render a report directory, or the page of a run, again."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import get_args

import click

from robustbench_aig.cli import options
from robustbench_aig.cli.tables import show
from robustbench_aig.cli.terminal import say
from robustbench_aig.errors import InputError, RunError, did_you_mean
from robustbench_aig.files import write_atomic
from robustbench_aig.records.documents import REPORT, load_report
from robustbench_aig.reporting import write_report
from robustbench_aig.reporting.publishing import publish
from robustbench_aig.reporting.remarks import UNVERIFIED
from robustbench_aig.reporting.run_page import write_run_page
from robustbench_aig.reporting.tables import Format, write_tables
from robustbench_aig.reporting.without_evidence import came_alone, write_lone_page
from robustbench_aig.runs import PAGE, RECORD, ambiguous, find_run, list_runs

EXAMPLES = """\b
Examples:
  aigrob report reports/digits-1fe5b2d9
  aigrob report reports/digits-1fe5b2d9 --json | jq .worst_case
  aigrob report digits-aig14-s0
      runs/digits-aig14-s0/run.html: the training curves, also while it trains
  aigrob report reports/digits-1fe5b2d9 --format latex > table.tex
  aigrob report reports/digits-1fe5b2d9 --format csv --out numbers.csv
  aigrob report reports/digits-1fe5b2d9 --publish published/digits
"""


@click.command(epilog=EXAMPLES)
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR|RUN")
@options.runs_option
@click.option(
    "--format",
    "table_format",
    type=click.Choice(get_args(Format)),
    help="Instead of the page, write tables for a paper from report.json: accuracy by threat and attack, gates and "
    "compute. csv has one number per line.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Output file of --format.  [default: stdout]",
)
@click.option(
    "--publish",
    "published",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Instead of writing into DIR, make a folder OUT with all that others need to compute the numbers again: page, "
    "numbers and sample tables, without attacked images and paths of this machine.",
)
@options.json_option
def report(
    directory: Path,
    runs_root: Path,
    table_format: Format | None,
    out: Path | None,
    published: Path | None,
    *,
    json: bool,
) -> None:
    """Write the page of a report directory or of a run again.

    Of a report directory DIR: report.json, its schema and report.html, from the sample table. Every number is a
    function of that table, so this changes nothing unless aigrob itself has changed. It also renders what an
    interrupted attack has finished so far. Of a report.json that came alone, in DIR or by its own name: the page that
    can be made without sample tables, which says what is missing.

    For a RUN, given by its name or its directory: run.html, from its history, finished or not.
    """
    if out and not table_format:
        raise click.UsageError("--out goes with --format: the page is always written into DIR")
    if bool(json) + bool(table_format) + bool(published) > 1:
        raise click.UsageError("--json, --format and --publish exclude each other")
    if directory.name == REPORT and directory.is_file():
        directory = directory.parent
    run = find_run(str(directory), runs_root)
    if table_format:
        _show_tables(directory, run, table_format, out)
        return
    if published:
        _publish(directory, run, published)
        return
    for note in ambiguous([str(directory)], runs_root):
        click.echo(note, err=True)
    if (run / RECORD).exists():
        _show_run(run, as_json=json)
    elif came_alone(directory):
        found, page = write_lone_page(directory)
        show(found, directory, as_json=json, page=page)
    elif directory.is_dir():
        _show_report(directory, as_json=json)
    else:
        names = [path.name for path, _ in list_runs(runs_root)]
        raise RunError(f"{directory} is no directory, and no run in {runs_root}: {did_you_mean(str(directory), names)}")


def _show_report(directory: Path, *, as_json: bool) -> None:
    """Write a report's files again, and say what is in it."""
    found = write_report(directory)
    if found.rows_digest is None:
        click.echo(f"{directory}: {UNVERIFIED[0].lower()}{UNVERIFIED[1:]}", err=True)
    show(found, directory, as_json=as_json)


def _show_tables(directory: Path, run: Path, table_format: Format, out: Path | None) -> None:
    """Print a report's tables, or write them into a file."""
    if (run / RECORD).exists():
        raise InputError(f"--format: {run} is a run, which has no such tables; name a report directory")
    text = write_tables(load_report(directory), table_format)
    if out:
        write_atomic(out, text)
    else:
        click.echo(text, nl=False)


def _publish(directory: Path, run: Path, out: Path) -> None:
    """Make the published form of a report, and say where it is."""
    if (run / RECORD).exists():
        raise InputError(f"--publish: {run} is a run; name a report directory")
    publish(directory, out)
    say(f"report: {out / 'report.html'}")


def _show_run(run: Path, *, as_json: bool) -> None:
    """Render a run's page, and say where it is; or print the run's record."""
    record = write_run_page(run)
    if as_json:
        click.echo(json_module.dumps({"directory": str(run), **record.model_dump(mode="json")}))
    else:
        say(f"run: {run / PAGE}")
