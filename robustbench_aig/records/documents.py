"""Reads `plan.json` and `report.json`, of this schema version or an earlier one."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from robustbench_aig.commands import aigrob
from robustbench_aig.errors import DamagedError, RunError, first_line
from robustbench_aig.files import read_plain
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
    content = _upgraded(parse_json(read_file(file), file), file, "report")
    try:
        return Report.model_validate(content)
    except ValidationError as error:
        raise RunError(f"{file}: {_first(error)}; write it again with: {aigrob('report', file.parent)}") from None


def read_plan(path: Path) -> Plan:
    """Read a `plan.json`, without checking what pydantic can't.

    Raises:
        RunError: if it is damaged, or was written by a newer version.
    """
    return parse_plan(read_file(path), path)


def parse_plan(written: bytes, path: Path) -> Plan:
    """The same of its content; errors as `read_plan`'s."""
    content = _upgraded(parse_json(written, path), path, "plan")
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        raise RunError(f"{path}: {_first(error)}; attack again to write a valid plan") from None


def read_file(path: Path) -> bytes:
    """The content of a plain file; RunError says why it cannot be read, DamagedError that it is missing."""
    try:
        return read_plain(path)
    except FileNotFoundError:
        raise DamagedError(f"{path} is missing") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from None


def parse_json(content: bytes, path: Path) -> object:
    """What JSON says; DamagedError where it is none, or nested too deep."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: is not JSON ({first_line(error)})", "delete it and attack again") from None


def _upgraded(content: object, path: Path, kind: Kind) -> dict[str, object]:
    try:
        return upgrade(content, kind)
    except RunError as error:
        raise RunError(f"{path}: {error}") from None


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
