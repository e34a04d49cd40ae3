"""Results as tables on the terminal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from robustbench_aig.cli.answer_lines import answer_lines
from robustbench_aig.cli.repeated_answers import asking_table
from robustbench_aig.cli.terminal import say, stdout
from robustbench_aig.records import Evaluation, Report
from robustbench_aig.reporting.answers.next_commands import missing_checks
from robustbench_aig.reporting.clean_match_words import lines
from robustbench_aig.reporting.words import BESIDE, attack_text, gates_text

CORRUPTION, MEAN = "corruption", "mean"


class Line(NamedTuple):
    """A row of a table, and where it stands: by the size of the ball, and then by rank.

    Attributes:
        threat, attack: as they are shown.
        size: epsilon; 0 without an attack, infinite for corruptions, which come last.
        rank: 0 for attacks, 1 for what sums them up, 2 for what doesn't count in that.
        bold: whether it sums up, or is what everything is compared with.
    """

    threat: str
    attack: str
    size: float
    rank: int
    bold: bool = False


Cells = dict[tuple[Line, str, str], str]
"""(line, model, policy) to the text of a cell."""


def show(report: Report, directory: Path, *, as_json: bool, page: Path | None = None) -> None:
    """The table and where the page is; or the report's JSON and nothing else. A `page` of its own has no evidence."""
    if as_json:
        click.echo(report.model_dump_json())
        return
    to = stdout()
    to.print(report_table(report))
    if any(e.role == "compute" for e in report.evaluations):
        to.print(compute_table(report))
    if any(w.accuracy.when_asked for w in report.worst_case):
        to.print(asking_table(report))
    for rung in report.ladder.rungs if report.ladder else []:
        note = f" ({rung.note})" if rung.note else ""
        say(f"{rung.key:<4}{rung.title}{note}")
    matched = [line for match in report.clean_matches for line in lines(match)]
    answered = ["", *answer_lines(report)] if report.answers else []
    say(*_guessing(report), *matched, *_verdicts(report), *([] if page else _next(report, directory)), *answered)
    say(f"report: {page or directory / 'report.html'}")


def show_verdicts(report: Report, directory: Path) -> None:
    """Claims of a report that a checkup was put into, the checks that they still wait for, and where the page is."""
    say("", *_verdicts(report), *_next(report, directory), f"report: {directory / 'report.html'}")


def _next(report: Report, directory: Path) -> list[str]:
    return [f"next: {line}" for line in missing_checks(report, directory)]


def _guessing(report: Report) -> list[str]:
    """A line for each network whose numbers mean nothing yet."""
    advice = (
        "is not significantly better than always predicting the most frequent class: train it longer, or look for "
        "wrong weights"
    )
    return [f"{e.model} ({e.gate_policy}) {advice}" for e in report.guessing]


def _verdicts(report: Report) -> list[str]:
    """A line for each claim."""
    wide = max((len(claim.ruled) for claim in report.claims), default=0)
    lines = []
    for claim in report.claims:
        gates = f", {gates_text(claim.gate_policy)}" if claim.gate_policy else ""
        of = f" ({', '.join(claim.gated)})" if report.several_gated else ""
        ours = " [our claim, not the paper's]" if claim.ours else ""
        lines.append(f"{claim.ruled:<{wide}}  {claim.told}{gates}{of}{ours}")
    return lines


def report_table(report: Report) -> Table:
    """Accuracy by epsilon and attack (rows) for every model under every gate policy (columns).

    A corruption has one line, with the mean over its severities.
    """
    return _table(report, f"Accuracy on {report.data.n} images of {report.data.name}, %", _cells(report))


def compute_table(report: Report) -> Table:
    """What attacks on the compute, and the controls beside them, change of it; for networks with gates."""
    title = "Executed compute: change in %, and in brackets the recovered compute"
    cells: Cells = {}
    for e in report.evaluations:
        if e.role in BESIDE and e.threat and e.gates and e.compute:
            undone = "" if e.compute.recovered is None else f" ({round(100 * e.compute.recovered)} %)"
            change = f"{100 * e.compute.change:+.1f}{undone}" if e.status == "ok" else "error"
            cells[_line(e), e.model, e.gate_policy] = change
    return _table(report, title, cells)


def _table(report: Report, title: str, cells: Cells) -> Table:
    """A row for each line, a column for each network under a policy that a cell is about."""
    about = {key[1:] for key in cells}
    subjects = [s for s in dict.fromkeys((e.model, e.gate_policy) for e in report.evaluations) if s in about]
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("threat")
    table.add_column("attack", overflow="fold")
    rungs = {(rung.model, rung.policy): rung.key for rung in (report.ladder.rungs if report.ladder else [])}
    for model, policy in subjects:
        name = model if policy == "none" else f"{model}\n{policy} gates"
        table.add_column(rungs.get((model, policy), name), justify="right", overflow="fold")
    shown = None
    lines = dict.fromkeys(line for line, *_ in cells)
    for line in sorted(lines, key=lambda line: (line.size, line.rank)):
        if line.threat != shown:
            table.add_section()
        row = [cells.get((line, *subject), "–") for subject in subjects]
        threat = "" if line.threat == shown else line.threat
        table.add_row(threat, line.attack, *row, style="bold" if line.bold else None)
        shown = line.threat
    return table


def _cells(report: Report) -> Cells:
    cells = {(_line(e), e.model, e.gate_policy): _own(e) for e in report.evaluations if e.corruption is None}
    for w in report.worst_case:
        line = Line(str(w.threat), attack_text("union"), w.threat.value, 1, bold=True)
        cells[line, w.model, w.gate_policy] = _percent(w.accuracy.value, w.status)
    several = len({m.name for m in report.corruptions if m.name}) > 1
    for m in (m for m in report.corruptions if m.name or several):
        line = Line(CORRUPTION, m.name or MEAN, math.inf, int(m.name is None), bold=m.name is None)
        cells[line, m.model, m.gate_policy] = _percent(m.accuracy.value, m.status)
    return cells


def _line(e: Evaluation) -> Line:
    """Of an attack, or of the clean images."""
    beside = e.role in BESIDE
    attack = f"{attack_text(e.attack)} ({BESIDE[e.role]})" if beside else attack_text(e.attack)
    size = e.threat.value if e.threat else 0.0
    return Line(str(e.threat or ""), attack, size, 2 if beside else 0, bold=e.role == "clean")


def _own(evaluation: Evaluation) -> str:
    """The accuracy under an attack; in a cascade how many of the images that it was run on are still right."""
    accuracy, skipped = evaluation.robust_accuracy, evaluation.skipped
    if skipped:
        return f"{accuracy.value * evaluation.n:.0f} of {evaluation.n - skipped}"
    return _percent(accuracy.value, evaluation.status)


def _percent(share: float, status: str) -> str:
    return f"{100 * share:.1f}" if status == "ok" else "error"
