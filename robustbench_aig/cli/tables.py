"""Results as tables on the terminal."""

from __future__ import annotations

import math
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from robustbench_aig.cli.terminal import stdout
from robustbench_aig.commands import aigrob
from robustbench_aig.records import Asked, Evaluation, Report, Role

UNION = "worst case"
_BESIDE: tuple[Role, ...] = ("control", "compute")
"""Roles that are no part of the worst case."""

CORRUPTION, MEAN = "corruption", "mean"


def show(report: Report, directory: Path, *, as_json: bool) -> None:
    """The table and where the page is; or the report's JSON and nothing else."""
    if as_json:
        click.echo(report.model_dump_json())
        return
    to = stdout()
    to.print(report_table(report))
    if any(e.role == "compute" for e in report.evaluations):
        to.print(compute_table(report))
    for rung in report.ladder.rungs if report.ladder else []:
        note = f" ({rung.note})" if rung.note else ""
        to.print(f"{rung.key:<4}{rung.title}{note}", markup=False, highlight=False, soft_wrap=True)
    for line in (*_guessing(report), *_verdicts(report), *_unchecked(report, directory)):
        to.print(line, markup=False, highlight=False, soft_wrap=True)
    to.print(f"report: {directory / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def _unchecked(report: Report, directory: Path) -> list[str]:
    """The way on, where claims wait for checks."""
    claims = [claim for claim in report.claims if claim.checks == "not run"]
    waiting = {(name, claim.gate_policy) for claim in claims for name in claim.gated}
    waiting |= {(name, None) for claim in claims for name in claim.plain}
    have = {(checkup.run, None if checkup.policy == "none" else checkup.policy) for checkup in report.checks}
    asked = report.asked
    if asked is None:
        return []
    return [f"next: {_check(asked, name, policy, directory)}" for name, policy in sorted(waiting - have, key=str)]


def _check(asked: Asked, name: str, policy: str | None, directory: Path) -> str:
    """The command that checks a network of a report, on the report's images."""
    named = asked.networks[name]
    return aigrob(
        "check",
        *filter(None, [named.run]),
        model=named.model,
        weights=named.weights,
        defence=named.defence,
        policy=policy,
        norm=None if asked.norm == "linf" else asked.norm,
        data=asked.data,
        images=asked.images,
        runs=None if asked.runs == "runs" else asked.runs,
        seed=asked.seed or None,
        device=None if asked.device == "auto" else asked.device,
        into=directory,
    )


def _guessing(report: Report) -> list[str]:
    """A line for each network whose numbers mean nothing yet."""
    told = (
        "is not significantly better than always guessing the most frequent class: train it longer, or look for wrong "
        "weights"
    )
    return [f"{e.model} ({e.gate_policy}) {told}" for e in report.guessing]


def _verdicts(report: Report) -> list[str]:
    """A line for each claim."""
    wide = max((len(claim.verdict) for claim in report.claims), default=0)
    lines = []
    for claim in report.claims:
        gates = f", {claim.gate_policy} gates" if claim.gate_policy else ""
        of = f" ({', '.join(claim.gated)})" if report.several_gated else ""
        lines.append(f"{claim.verdict:<{wide}}  {claim.told}{gates}{of}")
    return lines


def report_table(report: Report) -> Table:
    """Accuracy by epsilon and attack (rows) for every model under every gate policy (columns).

    A corruption has one line, with the mean over its severities.
    """
    return _table(report, f"Accuracy on {report.data.n} images of {report.data.name}, %", _cells(report))


def compute_table(report: Report) -> Table:
    """What attacks on the compute, and the controls beside them, change of it; for networks with gates."""
    title = "Executed compute: change in %, and how much of the saving is undone"
    cells = {}
    for e in report.evaluations:
        if e.role in _BESIDE and e.threat and e.gates and e.compute:
            undone = "" if e.compute.recovered is None else f" ({round(100 * e.compute.recovered)} %)"
            change = f"{100 * e.compute.change:+.1f}{undone}" if e.status == "ok" else "error"
            cells[str(e.threat), f"{e.attack} ({e.role})", e.model, e.gate_policy] = change
    return _table(report, title, cells)


def _table(report: Report, title: str, cells: dict[tuple[str, str, str, str], str]) -> Table:
    """A row for each threat and attack, a column for each network under a policy that a cell is about."""
    about = {key[2:] for key in cells}
    subjects = [s for s in dict.fromkeys((e.model, e.gate_policy) for e in report.evaluations) if s in about]
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("threat")
    table.add_column("attack", overflow="fold")
    rungs = {(rung.model, rung.policy): rung.key for rung in (report.ladder.rungs if report.ladder else [])}
    for model, policy in subjects:
        name = model if policy == "none" else f"{model}\n{policy} gates"
        table.add_column(rungs.get((model, policy), name), justify="right", overflow="fold")
    shown = None
    for threat, attack in dict.fromkeys(key[:2] for key in sorted(cells, key=lambda key: _order(report, key))):
        if threat != shown:
            table.add_section()
        row = [cells.get((threat, attack, *subject), "–") for subject in subjects]
        style = "bold" if attack in {"clean", UNION} or (threat, attack) == (CORRUPTION, MEAN) else None
        table.add_row("" if threat == shown else threat, attack, *row, style=style)
        shown = threat
    return table


def _cells(report: Report) -> dict[tuple[str, str, str, str], str]:
    """(threat, attack, model, policy) to the text of a cell."""
    cells = {}
    for e in report.evaluations:
        if e.corruption is not None:
            continue
        attack = f"{e.attack} ({e.role})" if e.role in _BESIDE else e.attack
        threat = str(e.threat) if e.threat else ""
        cells[threat, attack, e.model, e.gate_policy] = _own(e)
    for w in report.worst_case:
        cells[str(w.threat), UNION, w.model, w.gate_policy] = _percent(w.accuracy.value, w.status)
    several = len({m.name for m in report.corruptions if m.name}) > 1
    for m in (m for m in report.corruptions if m.name or several):
        cells[CORRUPTION, m.name or MEAN, m.model, m.gate_policy] = _percent(m.accuracy.value, m.status)
    return cells


def _order(report: Report, key: tuple[str, str, str, str]) -> tuple[float, int]:
    """Epsilons upwards; within one the attacks, then their worst case, then the control. Corruptions come last."""
    values = {str(e.threat): e.threat.value for e in report.evaluations if e.threat}
    threat, attack = key[:2]
    if threat == CORRUPTION:
        return math.inf, int(attack == MEAN)
    beside = attack.endswith(tuple(f"({role})" for role in _BESIDE))
    return values.get(threat, 0.0), 2 if beside else int(attack == UNION)


def _own(evaluation: Evaluation) -> str:
    """An attack's own accuracy, or how many it left of those that it was given."""
    accuracy, skipped = evaluation.robust_accuracy, evaluation.skipped
    if skipped:
        return f"{accuracy.value * evaluation.n:.0f} of {evaluation.n - skipped}"
    return _percent(accuracy.value, evaluation.status)


def _percent(share: float, status: str) -> str:
    return f"{100 * share:.1f}" if status == "ok" else "error"
