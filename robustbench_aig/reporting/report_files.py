"""Writes a report beside its evidence: `report.json`, its schema, its numbers as rows, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from robustbench_aig.errors import RunError
from robustbench_aig.files import write_atomic
from robustbench_aig.records import Report, report_json_schema
from robustbench_aig.reporting.aggregation import Counted, conclude, count
from robustbench_aig.reporting.evidence import Evidence, load_evidence
from robustbench_aig.reporting.image_outcomes import image_outcomes
from robustbench_aig.reporting.optional_parts import Contained, plain_page
from robustbench_aig.reporting.report_page import render
from robustbench_aig.reporting.series import all_series
from robustbench_aig.reporting.thumbnails import Originals, keep_thumbnails
from robustbench_aig.reporting.tidy_rows import EVALUATIONS, evaluations_file


def write_report(directory: Path, originals: Originals | None = None, *, pictures: Path | None = None) -> Report:
    """Aggregate `directory` and write `report.json`, `report.schema.json` and `report.html` into it.

    `evaluations.jsonl` has the numbers as rows. Each file is replaced at once, so a reader never sees half of one.
    `originals` gives clean images; with it, pictures of the images on the page are stored for this page and later ones.
    `pictures` is the report directory whose stored images the page shows, if that is another one. If a page, or a part
    of it, cannot be made, a note in its place says so; the numbers are written first.

    Raises:
        RunError: if the evidence is missing, damaged or foreign, or a number is not finite.
        InputError: if the folder cannot be written.
    """
    return write_counted(count(load_evidence(directory)), directory, originals, pictures=pictures)


def write_counted(
    counted: Counted, directory: Path, originals: Originals | None = None, *, pictures: Path | None = None
) -> Report:
    """As `write_report`, of what was counted in `directory` already."""
    evidence, report = counted.evidence, conclude(counted)
    write_atomic(directory / "report.json", _json(report.model_dump(), directory))
    write_atomic(directory / EVALUATIONS, evaluations_file(report))
    write_atomic(directory / "report.schema.json", _json(report_json_schema(), directory))
    page = Contained()
    html = page.part("This page", lambda: _page(report, evidence, pictures or directory, originals), None)
    write_atomic(directory / "report.html", plain_page(page.lost[0]) if html is None else html)
    return report


def _page(report: Report, evidence: Evidence, directory: Path, originals: Originals | None) -> str:
    table = image_outcomes(report, evidence, all_series(report))
    if originals is not None and table is not None:
        keep_thumbnails(directory, np.array([line.image for line in table.lines], dtype=np.int64), originals)
    return render(report, evidence, directory, table)


def _json(content: dict[str, object], directory: Path) -> str:
    # Not pydantic's own JSON, which writes a number that is not finite as null.
    try:
        return json.dumps(content, separators=(",", ":"), sort_keys=True, allow_nan=False) + "\n"
    except ValueError as error:
        raise RunError(f"{directory}: a number of the report is not finite ({error}): attack again") from None
