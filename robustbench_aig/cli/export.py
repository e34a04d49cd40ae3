"""`aigrob export`: the results of a report in the formats of others."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from robustbench_aig.cli.terminal import say
from robustbench_aig.exporting import Request, Target, export
from robustbench_aig.opened_report import load_report

EXAMPLES = """\b
Examples:
  aigrob export reports/cifar10-1fe5b2d9 --to robustbench
      reports/cifar10-1fe5b2d9/export/robustbench/model_info/cifar10/Linf/…
  aigrob export reports/cifar10-1fe5b2d9 --to huggingface --network cifar10-aig20-s0
  aigrob export reports/cifar10-1fe5b2d9 --to every-eval-ever --out ../every_eval_ever
  aigrob export reports/cifar10-1fe5b2d9 --to png
"""


@click.command("export", epilog=EXAMPLES)
@click.argument("directory", type=click.Path(exists=True, path_type=Path), metavar="DIR")
@click.option(
    "--to",
    "target",
    type=click.Choice(get_args(Target)),
    required=True,
    help="robustbench: model_info JSON, and the worst attacked images as a tensor if --keep-images kept all. "
    "huggingface: a model card per network. every-eval-ever: its JSON records. png: the three answers as pictures.",
)
@click.option("--network", "networks", multiple=True, metavar="NAME", help="Only this network, repeatable.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder to write into; files of the same name are replaced.  [default: export/FORMAT in DIR]",
)
def export_(directory: Path, target: Target, networks: tuple[str, ...], out: Path | None) -> None:
    """Write the results of a report in the format of a benchmark, of a model hub, or as pictures.

    DIR is a report directory or a report.json. Nothing is computed again: each number is that of report.json. What a
    report does not know, such as authors, is left for you to fill in, and said on stderr.
    """
    opened = load_report(directory)
    where = out or opened.directory / "export" / target
    done = export(Request(opened.record, opened.directory, where, networks), target)
    for remark in done.remarks:
        click.echo(f"note: {remark}", err=True)
    say(*map(str, done.files))
