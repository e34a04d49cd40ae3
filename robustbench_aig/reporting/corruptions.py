"""Accuracy under common corruptions: means over severities and kinds, and the tables that the page shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robustbench_aig.records import Accuracy, CorruptionMean, CorruptionRecord, EvaluationPlan, Report, Status
from robustbench_aig.reporting.evidence import Evidence
from robustbench_aig.reporting.image_scores import Scores, accuracy
from robustbench_aig.reporting.series import Series
from robustbench_aig.reporting.words import listing

ALL = "corruptions"
"""What the mean over all corruptions is called where attacks have names."""


class Mean(NamedTuple):
    """A mean with the scores behind it, which comparisons need."""

    record: CorruptionMean
    scores: Scores


def means(evidence: Evidence) -> list[Mean]:
    """For every (model, policy) the mean over the severities of each corruption, then that over all corruptions.

    One that still lacks a planned evaluation is left out. There is a mean over all only where each was planned at the
    same severities, so that every kind counts alike, as in the tables of CIFAR-10-C (arXiv 1903.12261, section 4).
    """
    planned: dict[tuple[str, str], dict[str, list[EvaluationPlan]]] = {}
    for e in evidence.plan.evaluations:
        if e.corruption is not None:
            planned.setdefault((e.model, e.policy), {}).setdefault(e.corruption.name, []).append(e)
    finished = {e.id for e in evidence.finished()}
    return [
        _mean(name, members, evidence)
        for kinds in planned.values()
        for name, members in _groups(kinds)
        if finished.issuperset(member.id for member in members)
    ]


def _groups(kinds: dict[str, list[EvaluationPlan]]) -> list[tuple[str | None, list[EvaluationPlan]]]:
    groups: list[tuple[str | None, list[EvaluationPlan]]] = list(kinds.items())
    alike = len({tuple(_severities(members)) for members in kinds.values()}) == 1
    return [*groups, (None, [e for members in kinds.values() for e in members])] if alike else groups


def _severities(of: Sequence[EvaluationPlan]) -> list[int]:
    return sorted({e.corruption.severity for e in of if e.corruption is not None})


def _mean(name: str | None, members: list[EvaluationPlan], evidence: Evidence) -> Mean:
    """Each image's draws under all members together: an image has as many under each, so their share is the mean."""
    parts = [Scores.of(evidence.rows[member.id]) for member in members]
    ok = np.logical_and.reduce([part.ok for part in parts])
    correct, draws = (sum(getattr(part, field) for part in parts) for field in ("correct", "draws"))
    scores = Scores(ok, correct, draws, majority=2 * correct > draws, exact=parts[0].exact)
    record = CorruptionMean(
        model=members[0].model,
        gate_policy=members[0].policy,
        name=name,
        severities=_severities(members),
        status="ok" if ok.all() else "error",
        # Votes are of one image, not of several versions of it.
        accuracy=accuracy(scores).model_copy(update=dict.fromkeys(_OF_DRAWS)),
    )
    return Mean(record, scores)


_OF_DRAWS = ("majority", "all_right", "any_right", "when_asked")

Found = tuple[Accuracy, Status] | None
"""What was measured; None where nothing is finished."""


class KindRow(NamedTuple):
    """One corruption, or all, over the series.

    Attributes:
        name: of the kind; None for all.
        severities: that the mean is over.
        cells: for each series the mean, and what it has at the highest severity.
    """

    name: str | None
    severities: list[int]
    cells: list[tuple[Found, Found]]


class SeverityRow(NamedTuple):
    """One corruption at one severity over the series."""

    corruption: CorruptionRecord
    cells: list[Found]


def kind_rows(report: Report, series: Sequence[Series]) -> list[KindRow]:
    """A row for each corruption with a mean; where there are several, one for all follows."""
    found = {(m.model, m.gate_policy, m.name): (m.accuracy, m.status) for m in report.corruptions}
    severities = {m.name: m.severities for m in report.corruptions}
    kinds = [name for name in severities if name is not None]
    at, keys = _measured(report), [(one.model, one.policy) for one in series]
    rows = []
    for name in [*kinds, *([None] if None in severities and len(kinds) > 1 else [])]:
        highest = max(severities[name])
        rows.append(
            KindRow(name, severities[name], [(found.get((*k, name)), at.get((*k, name, highest))) for k in keys])
        )
    return rows


def severity_rows(report: Report, series: Sequence[Series]) -> list[SeverityRow]:
    """A row for each corruption at each severity, in the plan's order."""
    found = _measured(report)
    return [
        SeverityRow(one, [found.get((s.model, s.policy, one.name, one.severity)) for s in series])
        for one in dict.fromkeys(e.corruption for e in report.evaluations if e.corruption is not None)
    ]


def _measured(report: Report) -> dict[tuple[str, str, str | None, int], tuple[Accuracy, Status]]:
    """(model, policy, name, severity) to what was measured."""
    return {
        (e.model, e.gate_policy, e.corruption.name, e.corruption.severity): (e.robust_accuracy, e.status)
        for e in report.evaluations
        if e.corruption is not None
    }


def asked(corruptions: Sequence[CorruptionRecord]) -> str:
    """Which corruptions, in words: `jpeg and contrast at severity 1, 2 and 3`."""
    severities: dict[str, list[str]] = {}
    for each in dict.fromkeys(corruptions):
        severities.setdefault(each.name, []).append(str(each.severity))
    if len({tuple(of_kind) for of_kind in severities.values()}) == 1:
        return f"{listing(list(severities))} at severity {listing(next(iter(severities.values())))}"
    return ", ".join(f"{name} at severity {listing(of_kind)}" for name, of_kind in severities.items())
