"""Reads `plan.json` and `report.json`, of this schema version or an earlier one."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from robustbench_aig.commands import aigrob
from robustbench_aig.errors import RunError, first_line
from robustbench_aig.records import Plan, Report
from robustbench_aig.records.migrations import Kind, upgrade

REPORT = "report.json"


def load_report(path: Path) -> Report:
    """Read the report of a directory, or in a file.

    Raises:
        RunError: if there is none, it is damaged, or it was written by a newer version.
    """
    file = path / REPORT if path.is_dir() else path
    if not file.is_file():
        if (path / "plan.json").is_file():
            raise RunError(f"{path} has no {REPORT} yet: write it with: {aigrob('report', path)}")
        raise RunError(f"{path} is no report: name a directory with a {REPORT}, or such a file")
    content = _upgraded(file, "report")
    try:
        return Report.model_validate(content)
    except ValidationError as error:
        raise RunError(f"{file}: {_first(error)}; write it again with: {aigrob('report', file.parent)}") from None


def read_plan(path: Path) -> Plan:
    """Read a `plan.json`, without checking what pydantic can't.

    Raises:
        RunError: if it is damaged, or was written by a newer version.
    """
    content = _upgraded(path, "plan")
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        raise RunError(f"{path}: {_first(error)}; attack again to write a valid plan") from None


def read_json(path: Path) -> object:
    """The content of a JSON file; RunError where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RunError(f"{path}: is not JSON ({first_line(error)}): delete it and attack again") from None


def _upgraded(path: Path, kind: Kind) -> dict[str, object]:
    content = read_json(path)
    try:
        return upgrade(content, kind)
    except RunError as error:
        raise RunError(f"{path}: {error}") from None


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
