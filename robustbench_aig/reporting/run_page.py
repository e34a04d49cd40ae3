"""The page of a run: how its training went, in one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from robustbench_aig.commands import with_flag
from robustbench_aig.errors import RunError
from robustbench_aig.files import write_atomic
from robustbench_aig.recipes.model_recipes import gate_places
from robustbench_aig.reporting import run_charts, run_words
from robustbench_aig.reporting.epoch_map import EpochMap, epoch_map
from robustbench_aig.reporting.palette import heat_css, stroke_css
from robustbench_aig.reporting.templating import template
from robustbench_aig.runs import HISTORY, PAGE, EpochRecord, RunRecord, Scores, read_history, read_run


class GateRow(NamedTuple):
    """One gate: its target, and its rates in the order of the table's columns; None where not measured."""

    name: str
    target: float
    rates: list[float | None]


class GateTable(NamedTuple):
    """Where the gates ended."""

    columns: list[str]
    rows: list[GateRow]


def write_run_page(directory: Path) -> RunRecord:
    """Write `run.html` into a run directory, finished or not, and return the run's record.

    The page replaces its forerunner at once, so a reader never sees half of one.

    Raises:
        RunError: no run, or it is damaged.
        InputError: the folder cannot be written.
    """
    record = read_run(directory, unfinished=True)
    # An imported network has no history.
    history = read_history(directory) if (directory / HISTORY).exists() else []
    _check_rates(directory, record, history)
    write_atomic(directory / PAGE, render_run(record, history))
    return record


def _check_rates(directory: Path, record: RunRecord, history: Sequence[EpochRecord]) -> None:
    """RunError where rates are those of another number of gates."""
    scored = [epoch.validation for epoch in history]
    scored += [record.metrics.validation, record.metrics.test] if record.metrics else []
    rates = [epoch.train_rates for epoch in history]
    rates += [score.rates for scores in scored for score in scores.values()]
    if any(len(found) not in {0, len(record.recipe.model.targets)} for found in rates):
        raise RunError(f"{directory} is damaged (its rates are of other gates): train it again, with --overwrite")


def render_run(record: RunRecord, history: Sequence[EpochRecord]) -> str:
    """The page as HTML; a function of its arguments."""
    # Elsewhere execution rates are given, not learned.
    gated = record.family == "gated"
    return template("run.html").render(
        run=record,
        epochs=len(history),
        unfinished=run_words.unfinished(record, history),
        resumed=with_flag(record.command, "--resume"),
        facts=run_words.facts(record, history),
        findings=run_words.findings(record, history),
        notes=run_words.notes(record, history),
        accuracy=run_charts.accuracy(record, history) if history else None,
        panels=run_charts.panels(record, history) if history else [],
        maps=_maps(record, history) if gated else [],
        gates=_gate_table(record, history) if gated else None,
        heat_css=f"{heat_css()}\n{stroke_css()}",
    )


def _maps(record: RunRecord, history: Sequence[EpochRecord]) -> list[EpochMap]:
    """Of the training, and of validation images under the policy that isn't random."""
    rates = {"In training": [epoch.train_rates for epoch in history]}
    for policy in run_charts.policies(history)[:1]:
        scores = [epoch.validation.get(policy) for epoch in history]
        rates[f"On validation images, {policy} gates"] = [score.rates if score else [] for score in scores]
    gates = gate_places(record.recipe.model)
    numbers = [epoch.epoch for epoch in history]
    return [epoch_map(title, numbers, found, gates) for title, found in rates.items() if any(found)]


def _gate_table(record: RunRecord, history: Sequence[EpochRecord]) -> GateTable | None:
    """Rates after the last epoch, and those of the finished network; None where nothing is known of gates."""
    targets = record.recipe.model.targets
    columns: dict[str, list[float]] = {}
    if history:
        columns["training"] = history[-1].train_rates
        columns |= _rates("validation", history[-1].validation)
    if record.metrics:
        columns |= _rates("test", record.metrics.test)
    if not columns:
        return None
    rows = [
        GateRow(str(place), target, [rates[gate] if rates else None for rates in columns.values()])
        for gate, (place, target) in enumerate(zip(gate_places(record.recipe.model), targets, strict=True))
    ]
    return GateTable(list(columns), rows)


def _rates(split: str, scores: Scores) -> dict[str, list[float]]:
    return {f"{split}, {policy} gates": score.rates for policy, score in scores.items()}
