"""Accuracy of every model under every gate policy, by threat and attack."""

from __future__ import annotations

from typing import cast

from robustbench_aig.records import Report, Status
from robustbench_aig.reporting import words
from robustbench_aig.reporting.series import Remainder, Series, accuracy_of, all_series, attacks, remainder_of, threats
from robustbench_aig.reporting.tables.table import (
    FAILED,
    FAILED_NOTE,
    MISSING,
    Cell,
    Table,
    Value,
    accuracy_value,
    share_text,
)
from robustbench_aig.threat import Threat

_CORRUPTION = "corruption"


def accuracy_table(report: Report) -> Table:
    """A column for each series.

    Rows: clean images; at each threat the attacks, their union, and what does not count in it; corruptions.
    """
    series = all_series(report)
    rows = _attacked(report, series) + _corrupted(report, series)
    data = report.data
    return Table(
        name="accuracy",
        caption=f"Accuracy in % on {data.n} images of {data.name} ({data.split}), with 95 % intervals over images",
        head=("threat", "attack", *(one.label for one in series)),
        rows=tuple(rows),
        texts=2,
        notes=(_models(report, series), *_legend(report, rows), _origin(report)),
    )


def _attacked(report: Report, series: list[Series]) -> list[tuple[Cell, ...]]:
    roles = {e.attack: e.role for e in report.evaluations}
    names = attacks(report)
    counted = [attack for attack in names if roles[attack] == "attack"]
    beside = [attack for attack in names if roles[attack] != "attack"]
    asked: list[tuple[Threat | None, str]] = [(None, "clean")]
    asked += [(threat, attack) for threat in threats(report) for attack in [*counted, "union", *beside]]
    rows: list[tuple[Cell, ...]] = []
    for threat, attack in asked:
        cells = [_cell(report, one, attack, threat) for one in series]
        if any(cells):
            role = f" ({words.BESIDE[roles[attack]]})" if attack in beside else ""
            name = words.attack_text(attack) + role
            first = words.threat_text(threat) if threat else MISSING
            rows.append((first, name, *(cell or MISSING for cell in cells)))
    return rows


def _cell(report: Report, one: Series, attack: str, threat: Threat | None) -> Value | None:
    of = (one.model, one.policy, str(threat or "none"), attack)
    found = accuracy_of(report, one, attack, threat)
    if found:
        return accuracy_value(of, found[0], cast("Status", found[1]))
    rest = remainder_of(report, one, attack, threat) if threat else None
    return _of_remainder(of, rest) if rest else None


def _of_remainder(of: tuple[str, str, str, str], rest: Remainder) -> Value:
    """The share of the images that an attack of a cascade was run on and left right, which is no accuracy."""
    e = rest.evaluation
    left = e.n - e.skipped
    if not left or e.status == "error":
        return Value(*of, "kept_of_remainder", None, left, FAILED if left else "none left")
    share = e.robust_accuracy.value * e.n / left
    return Value(*of, "kept_of_remainder", share, left, f"{share_text(share)} of {left}")


def _corrupted(report: Report, series: list[Series]) -> list[tuple[Cell, ...]]:
    """A row for each corruption, over its severities; the mean over all where there are several."""
    found = {(m.model, m.gate_policy, m.name): m for m in report.corruptions}
    names = list(dict.fromkeys(m.name for m in report.corruptions))
    several = len([name for name in names if name]) > 1
    rows: list[tuple[Cell, ...]] = []
    for name in [name for name in names if name or several]:
        shown, cells = name or "mean", []
        for one in series:
            mean = found.get((one.model, one.policy, name))
            of = (one.model, one.policy, _CORRUPTION, shown)
            cells.append(accuracy_value(of, mean.accuracy, mean.status) if mean else MISSING)
        rows.append((_CORRUPTION, shown, *cells))
    return rows


def _models(report: Report, series: list[Series]) -> str:
    """Which models the columns are of."""
    recipes = {model.name: model.recipe for model in report.models}
    named = {one.model: f"{one.family}: {one.model} ({recipes[one.model]})" for one in series}
    return f"{'; '.join(named.values())}."


def _legend(report: Report, rows: list[tuple[Cell, ...]]) -> list[str]:
    """What the cells need explained."""
    notes = []
    if any(e.skipped for e in report.evaluations):
        notes.append(
            "A cascade: an attack ran only on images that no attack above it had broken; its percentage is of these; "
            f"only the {words.attack_text('union')} is an accuracy."
        )
    if any(isinstance(cell, Value) and cell.failed for row in rows for cell in row):
        notes.append(FAILED_NOTE)
    if report.status == "partial":
        notes.append("Unfinished: some planned evaluations are missing.")
    if report.corruptions:
        notes.append("Corruptions: mean over the severities of a kind.")
    return notes


def _origin(report: Report) -> str:
    """What the numbers can be traced to."""
    return f"Measured {report.created[:10]} with seed {report.seed}; digest of the plan {report.digest[:16]}."
