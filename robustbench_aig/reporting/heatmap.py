"""Execution rates as gates × classes, clean against attacked, small enough to ship with the page."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from robustbench_aig.records import ClassShift, Evaluation, Gates, Report
from robustbench_aig.reporting import words
from robustbench_aig.reporting.series import threats

# More columns than fit a page of 1180 pixels.
MOST_CLASSES = 24
_DROPPED = f" Of all classes, the {MOST_CLASSES} whose rates change most are shown."

Labels = dict[tuple[str, str], str]
"""(model, policy) -> what the reader calls it."""


class Cell(NamedTuple):
    """One cell of a drawn map: its text and the CSS class of its colour."""

    text: str
    look: str


def cell(kind: str, before: int, after: int) -> Cell:
    """Draw one cell of the map "clean", "attacked" or "change" from rates in per mille.

    The page's script does the same for the maps that are chosen later.
    """
    if kind == "change":
        text = words.signed(_half_up((after - before) / 10) / 100, 0)
        return Cell(text, f"d{min(10, max(0, 5 + _half_up((after - before) / 50)))}")
    rate = before if kind == "clean" else after
    return Cell(str(_half_up(rate / 10)), f"h{_half_up(rate / 100)}")


def share(rate: float) -> Cell:
    """Draw a rate in [0, 1] that stands by itself."""
    mille = round(1000 * rate)
    return cell("clean", mille, mille)


def heat_maps(report: Report, labels: Labels) -> dict[str, dict[str, Any]]:
    """One map per attacked evaluation of a gated model, keyed by its `choice`, joined by |.

    A map holds `columns` ("all", then the classes), `counts` (images behind each column), `gates` (row names),
    `clean` and `attacked` (rates in per mille, a list per gate) and a `note`. Of more than 24 classes
    those are kept whose rates change most.
    """
    return {
        "|".join(choice(e, labels)): _heat_map(e.gates)
        for e in report.evaluations
        if e.gates is not None and e.threat is not None
    }


def choice(evaluation: Evaluation, labels: Labels) -> tuple[str, str, str]:
    """What leads to an evaluation, as the select boxes show it: model and policy, attack, epsilon."""
    label = labels[evaluation.model, evaluation.gate_policy]
    return label, evaluation.attack, words.threat_text(evaluation.threat)


def choices(report: Report, labels: Labels) -> list[list[str]]:
    """The options of the two select boxes, and those of the slider, from the smallest epsilon."""
    shown = [e for e in report.evaluations if e.gates is not None and e.threat is not None]
    names = [list(dict.fromkeys(options)) for options in zip(*(choice(e, labels)[:2] for e in shown), strict=True)]
    met = {e.threat for e in shown}
    return [*names, [words.threat_text(threat) for threat in threats(report) if threat in met]] if shown else []


def _heat_map(gates: Gates) -> dict[str, Any]:
    kept = sorted(sorted(gates.per_class, key=_change)[-MOST_CLASSES:], key=gates.per_class.index)
    rows = list(enumerate(gates.per_gate))
    return {
        "columns": ["all", *(of_class.label for of_class in kept)],
        "counts": [sum(of_class.n for of_class in gates.per_class), *(of_class.n for of_class in kept)],
        "note": "" if len(kept) == len(gates.per_class) else _DROPPED,
        "gates": [gate.gate for _, gate in rows],
        "clean": [_mille([gate.rate_clean, *(c.rates_clean[g] for c in kept)]) for g, gate in rows],
        "attacked": [_mille([gate.rate_adv, *(c.rates_adv[g] for c in kept)]) for g, gate in rows],
    }


def _change(of_class: ClassShift) -> float:
    return sum(abs(a - b) for a, b in zip(of_class.rates_clean, of_class.rates_adv, strict=True))


def _mille(rates: list[float]) -> list[int]:
    return [round(1000 * rate) for rate in rates]


def _half_up(value: float) -> int:
    """JavaScript's rounding, not Python's half-to-even."""
    return math.floor(value + 0.5)
