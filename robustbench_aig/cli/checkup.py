"""A checkup on the terminal: one line for each check, and details of those that did not pass."""

from __future__ import annotations

import click
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from robustbench_aig.cli.terminal import say, stdout
from robustbench_aig.records import Checkup, FindingRecord
from robustbench_aig.reporting.words import gates_text

_STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red", "n/a": "dim"}


def show(found: Checkup, *, as_json: bool) -> None:
    """The table and the words; or the document and nothing else."""
    if as_json:
        click.echo(found.model_dump_json())
        return
    stdout().print(_table(found))
    say(*_said(found), *_not_asked(found), _sum(found))


def _table(found: Checkup) -> Table:
    gates = "" if found.policy == "none" else f", {gates_text(found.policy)}"
    against = f"{found.attack} attack at {found.threat}, {found.data.n} images of {found.data.name}"
    table = Table(title=f"{escape(found.run)}{gates}: {against}", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("check")
    table.add_column("", no_wrap=True)
    for column in ("defect, %", "95 % interval"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("images", justify="right")
    table.add_column("a pass means", overflow="fold")
    for finding in found.findings:
        told = finding.value is not None
        table.add_row(
            finding.check,
            finding.status,
            f"{100 * (finding.value or 0):.1f}" if told else "",
            f"{100 * finding.low:.1f} – {100 * finding.high:.1f}" if told else "",
            _counted(finding) if told else "",
            escape(finding.title),
            style=_STYLES[finding.status],
        )
    return table


def _counted(finding: FindingRecord) -> str:
    return str(finding.n) if finding.unit == "images" else f"{finding.n} {finding.unit}"


def _said(found: Checkup) -> list[str]:
    """Of what failed and what warns: threshold, evidence, advice."""
    bad = sorted((f for f in found.findings if f.status in {"fail", "warn"}), key=lambda f: f.status == "warn")
    return [f"{f.status} {f.check} ({f.threshold}): {f.evidence}. {f.advice}" for f in bad]


def _not_asked(found: Checkup) -> list[str]:
    """The checks that the sample is too small for, and those that don't apply."""
    few = [f for f in found.findings if f.too_few]
    other = [f for f in found.findings if f.status == "n/a" and not f.too_few]
    lines = [f"too few images for: {', '.join(map(_few, few))}"] if few else []
    return [*lines, *(f"n/a, {f.check}: {f.evidence}" for f in other)]


def _few(finding: FindingRecord) -> str:
    if finding.unit != "images":
        return finding.check
    return f"{finding.check} ({finding.n}; a pass needs {max(finding.needs, finding.n + 1)} or more)"


def _sum(found: Checkup) -> str:
    counts = [f"{len(found.named(status))} {status}" for status in ("pass", "warn", "fail", "n/a")]
    return f"{len(found.findings)} checks: {', '.join(counts)}"
