"""Plans and reports of earlier schema versions, brought to the present one a version at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from robustbench_aig.errors import RunError
from robustbench_aig.records import SCHEMA_VERSION, version_1

Document = dict[str, Any]
Kind = Literal["plan", "report"]
Change = Callable[[Document], Document]


class Migration(NamedTuple):
    """What makes a document of one version one of the next; the version itself is raised by `upgrade`."""

    plan: Change
    report: Change


MIGRATIONS: dict[int, Migration] = {1: Migration(version_1.typed, version_1.retold)}
"""The version that a migration starts from, to the migration."""


def upgrade(content: object, kind: Kind) -> Document:
    """The content of a `plan.json` or `report.json` of any version up to the present one, in the present one.

    Raises:
        RunError: no version, a newer one, or one from which no migration leads here; without the file's name.
    """
    version = content.get("schema_version") if isinstance(content, dict) else None
    reads = f"schema_version is {version!r}, this version reads '{SCHEMA_VERSION}'"
    if not isinstance(content, dict) or not isinstance(version, str) or not version.isdecimal():
        raise RunError(f"{reads}: it is no {kind} of aigrob, or damaged; attack again")
    present = int(SCHEMA_VERSION)
    if int(version) > present:
        raise RunError(f"{reads}: it is of a newer aigrob; update this one, or use the one that wrote it")
    document: Document = dict(content)
    for step in range(int(version), present):
        if step not in MIGRATIONS:
            raise RunError(f"{reads}: nothing leads there from {step}; use the aigrob that wrote it, or attack again")
        document = getattr(MIGRATIONS[step], kind)(document) | {"schema_version": str(step + 1)}
    return document
