"""`aigrob report`: render a report directory anew."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_aig.cli import options
from robustbench_aig.cli.tables import show
from robustbench_aig.reporting import write_report

EXAMPLES = """\b
Examples:
  aigrob report reports/digits-1fe5b2d9
  aigrob report reports/digits-1fe5b2d9 --json | jq .worst_case
"""


@click.command(epilog=EXAMPLES)
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@options.json_option
def report(directory: Path, *, json: bool) -> None:
    """Write report.json, its schema and report.html anew from the sample table in DIR.

    Every number is a function of the sample table, so this changes nothing unless aigrob itself has changed. It also
    renders what an interrupted attack has finished so far.
    """
    show(write_report(directory), directory, as_json=json)
