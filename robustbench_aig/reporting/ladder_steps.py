"""The steps of the ablation: differences between networks that differ in one thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustbench_aig.ladder import STEPS
from robustbench_aig.records import Ladder, Plan, Report, Step
from robustbench_aig.reporting.gated_vs_plain import Results, paired
from robustbench_aig.threat import Threat


def ladder(plan: Plan, results: Results) -> Ladder | None:
    """All steps under every condition that both networks were measured under; None without an ablation."""
    if not plan.ladder:
        return None
    scores = {rung.key: results.get((rung.model, rung.policy), {}) for rung in plan.ladder if rung.model}
    steps = []
    for upper, lower, isolates in STEPS:
        below = scores.get(lower, {})
        for condition, above in scores.get(upper, {}).items():
            if condition not in below:
                continue
            difference = paired(above, below[condition])
            steps.append(
                Step(
                    upper=upper,
                    lower=lower,
                    isolates=isolates,
                    attack=condition.attack,
                    threat=condition.threat,
                    status=difference.status,
                    n=difference.each.size,
                    difference=difference.value,
                    low=difference.low,
                    high=difference.high,
                    p_value=difference.p_value,
                )
            )
    return Ladder(rungs=plan.ladder, steps=steps)


class StepRow(NamedTuple):
    """One step over all budgets, under one attack.

    Attributes:
        step: any of its measurements, for its names.
        attack: as in the report.
        cells: the measurement at each of the threats asked for; None where there is none.
    """

    step: Step
    attack: str
    cells: list[Step | None]


def step_rows(report: Report, threats: Sequence[Threat | None], attacks: Sequence[str]) -> list[list[StepRow]]:
    """The steps for a table: per step one row for each attack; a column for each threat, None being clean images."""
    if report.ladder is None:
        return []
    found = {(s.upper, s.lower, s.attack, s.threat): s for s in report.ladder.steps}
    names = {(s.upper, s.lower): s for s in report.ladder.steps}
    tables = []
    for (upper, lower), step in names.items():
        rows = [
            StepRow(step, attack, [_cell(found, (upper, lower), attack, threat) for threat in threats])
            for attack in attacks
        ]
        tables.append([row for row in rows if any(row.cells)])
    return tables


def _cell(
    found: dict[tuple[str, str, str, Threat | None], Step],
    pair: tuple[str, str],
    attack: str,
    threat: Threat | None,
) -> Step | None:
    return found.get((*pair, "clean" if threat is None else attack, threat))
