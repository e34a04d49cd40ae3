"""The two reports of a comparison: what each has measured, and the images that both were measured on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robustbench_aig.records import Accuracy, Report, Status
from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting.corruptions import ALL, means
from robustbench_aig.reporting.evidence import Evidence, load_evidence
from robustbench_aig.reporting.gated_vs_plain import CLEAN, Condition, Results, results_of
from robustbench_aig.reporting.table_columns import Bools, Ints
from robustbench_aig.reporting.union import unions

Key = tuple[str, str, Condition]
"""What is matched: model, gate policy, and what was done to the images."""


@dataclass(frozen=True)
class Side:
    """One of the two reports.

    Attributes:
        path: as it was given.
        report: read from `report.json`.
        evidence: what it was made from; None where that is not beside it.
    """

    path: Path
    report: Report
    evidence: Evidence | None

    def accuracies(self) -> dict[Key, tuple[Accuracy, Status]]:
        """All that the report says, a model under a policy after the other.

        What a cascade's attack kept of its remainder is no accuracy.
        """
        report = self.report
        found: dict[Key, tuple[Accuracy, Status]] = {}
        for e in report.evaluations:
            condition = CLEAN if e.role == "clean" else Condition(e.attack, e.provider, e.threat)
            if not e.skipped:
                found.setdefault((e.model, e.gate_policy, condition), (e.robust_accuracy, e.status))
        for w in report.worst_case:
            found[w.model, w.gate_policy, Condition("union", "", w.threat)] = (w.accuracy, w.status)
        for m in (m for m in report.corruptions if m.name is None):
            found[m.model, m.gate_policy, Condition(ALL, "", None)] = (m.accuracy, m.status)
        series = list(dict.fromkeys(key[:2] for key in found))
        return dict(sorted(found.items(), key=lambda item: series.index(item[0][:2])))

    def united(self, key: Key) -> frozenset[str]:
        """The attacks that a union is over; none of anything else."""
        model, policy, condition = key
        for w in self.report.worst_case if condition.attack == "union" else []:
            if (w.model, w.gate_policy, w.threat) == (model, policy, condition.threat):
                return frozenset(w.attacks)
        return frozenset()

    def scores(self) -> Results:
        """The same per image; empty without evidence."""
        if self.evidence is None:
            return {}
        return results_of(self.evidence, unions(self.evidence), means(self.evidence))


def load_side(path: Path) -> Side:
    """Read a report directory, or a `report.json` and what lies beside it.

    Raises:
        RunError: if there is no report, or something of it is damaged.
    """
    report = load_report(path)
    directory = path if path.is_dir() else path.parent
    evidence = load_evidence(directory) if (directory / "plan.json").is_file() else None
    belongs = evidence is not None and evidence.plan.digest == report.digest and evidence.rows
    return Side(path, report, evidence if belongs else None)


class Pairing(NamedTuple):
    """The images that two sample tables share.

    Attributes:
        first, second: which rows of each (N,); None where nothing can be paired.
        note: what a reader has to know of it; None where both have the same images.
    """

    first: Bools | None
    second: Bools | None
    note: str | None


def pair(first: Side, second: Side) -> Pairing:
    """Which images can be compared one by one. Both sides must be of the same data set."""
    for side in (first, second):
        if side.evidence is None:
            return _unpaired(f"there is no sample table of it beside {side.path}")
    (ours, our_labels), (theirs, their_labels) = _images(first), _images(second)
    common = np.intersect1d(ours, theirs, assume_unique=True)
    mine, yours = np.isin(ours, common), np.isin(theirs, common)
    alike = first.report.data.digest == second.report.data.digest
    if not common.size:
        return _unpaired("no image is in both")
    if not alike and common.size == ours.size == theirs.size:
        return _unpaired("images of the same numbers have other pixels or labels")
    if not np.array_equal(our_labels[mine], their_labels[yours]):
        return _unpaired("images of the same numbers have other labels")
    if alike:
        return Pairing(mine, yours, None)
    shared = f"{common.size} of {ours.size} and {theirs.size} images are in both"
    return Pairing(mine, yours, f"{shared}: compared on these, which are taken to have the same pixels")


def _images(side: Side) -> tuple[Ints, Ints]:
    """Numbers and labels (N,) of the images of a side with evidence."""
    assert side.evidence is not None
    rows = next(iter(side.evidence.rows.values()))
    return rows.image, rows.label


def _unpaired(why: str) -> Pairing:
    return Pairing(None, None, f"not paired, since {why}: intervals take the two for independent, and are wide")
