"""What the gates did, and what was computed, under the attack that is the union's strongest."""

from __future__ import annotations

from collections.abc import Callable

from robustbench_aig.records import Evaluation, Report, WorstCase
from robustbench_aig.reporting import words
from robustbench_aig.reporting.series import all_series
from robustbench_aig.reporting.tables.table import FAILED, FAILED_NOTE, MISSING, Cell, Table, Value, share_text

_HEAD = ("model", "threat", "attack", "flip rate", "under noise", "MACs clean", "MACs attacked", "recovered")


def movement_table(report: Report) -> Table:
    """A row for each series and threat that has a union."""
    rows = []
    for one in all_series(report):
        for worst in report.worst_case:
            strongest = strongest_of(report, worst)
            if (worst.model, worst.gate_policy) == (one.model, one.policy) and strongest:
                first = (one.label, words.threat_text(worst.threat), words.attack_text(strongest.attack))
                rows.append((*first, *_cells(strongest)))
    return Table(
        name="gates",
        caption="Gate decisions that change, in %, and multiply-accumulates (MACs) executed per image, "
        "under the attack that is worst for most images",
        head=_HEAD,
        rows=tuple(rows),
        texts=3,
        notes=tuple(_notes(report, rows)),
    )


def strongest_of(report: Report, worst: WorstCase) -> Evaluation | None:
    """The attack of a union that was chosen for most images; None where there is no attack."""
    mine = [
        e
        for e in report.evaluations
        if (e.model, e.gate_policy, e.threat, e.role) == (worst.model, worst.gate_policy, worst.threat, "attack")
    ]
    # Where several are chosen as often, the one that leaves least.
    return max(mine, key=lambda e: (worst.strongest.get(e.attack, 0), -e.robust_accuracy.value), default=None)


def _cells(e: Evaluation) -> list[Cell]:
    """The numbers; they are of the images that the attack was run on."""
    gates, compute = e.gates, e.compute
    return [
        _value(e, "flip_rate", gates.flip_rate if gates else None, share_text),
        _value(e, "noise_flip_rate", gates.noise_flip_rate if gates else None, share_text),
        _value(e, "clean_macs", compute.clean_macs if compute else None, words.macs),
        _value(e, "adversarial_macs", compute.adversarial_macs if compute else None, words.macs),
        _value(e, "recovered", compute.recovered if compute else None, share_text),
    ]


def _value(e: Evaluation, quantity: str, number: float | None, shown: Callable[[float], str]) -> Cell:
    of = (e.model, e.gate_policy, str(e.threat), e.attack)
    n = e.n - e.skipped
    if e.status == "error":
        return Value(*of, quantity, None, n, FAILED)
    if number is None:
        return MISSING
    return Value(*of, quantity, number, n, shown(number))


def _notes(report: Report, rows: list[tuple[Cell, ...]]) -> list[str]:
    notes = [
        "Under noise: random-sign noise of the same ε. Recovered, in %: (attacked - clean) / (all gates open - clean)."
    ]
    if any(e.skipped for e in report.evaluations):
        notes.append("A cascade: over the images that no earlier attack had broken.")
    if any(isinstance(cell, Value) and cell.failed for row in rows for cell in row):
        notes.append(FAILED_NOTE)
    return notes
