"""Two reports: what is new, what is gone, what has changed, and whether that is more than chance."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from robustbench_aig.records import Record
from robustbench_aig.reporting.compare.changes import Change, Measurement, changes, measurement
from robustbench_aig.reporting.compare.notes import notes, refuse_other_data
from robustbench_aig.reporting.compare.report_pair import load_side, pair


class ReportComparison(Record):
    """What two reports say of the same things."""

    first: str = Field(description="path of the report that is called A in words")
    second: str = Field(description="path of the one that is called B")
    notes: list[str] = Field(description="in what they differ beside their numbers")
    changes: list[Change]
    gone: list[Measurement] = Field(description="only in the first")
    new: list[Measurement] = Field(description="only in the second")


def compare_reports(first: Path, second: Path) -> ReportComparison:
    """Compare two report directories, or `report.json` files, image by image where their sample tables allow it.

    Raises:
        RunError: one of them is no report, or damaged.
        InputError: they are of different data.
    """
    one, other = load_side(first), load_side(second)
    refuse_other_data(one, other)
    pairing = pair(one, other)
    ours, theirs = one.accuracies(), other.accuracies()
    return ReportComparison(
        first=str(first),
        second=str(second),
        notes=[*([pairing.note] if pairing.note else []), *notes(one, other)],
        changes=changes(one, other, pairing),
        gone=[measurement(key) for key in ours if key not in theirs],
        new=[measurement(key) for key in theirs if key not in ours],
    )
