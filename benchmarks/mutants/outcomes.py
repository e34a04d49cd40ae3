"""What became of mutants, on disk, so that a stopped run goes on; and the reviewed list of those that mean the same."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.mutants.mutation import Mutant


class Outcome(NamedTuple):
    """Of one mutant.

    Attributes:
        mutant: its digest.
        checkout: digest of package and tests then; another one asks for another trial.
        outcome: as of a `Trial`.
    """

    mutant: str
    checkout: str
    outcome: str


class Same(NamedTuple):
    """A mutant that means the same as what it changes, so that no test can notice it.

    Attributes:
        module, before, after: as of a `Mutant`.
        reason: why.
    """

    module: str
    before: str
    after: str
    reason: str


def digest_of(root: Path, folders: Iterable[str]) -> str:
    """Of all Python below some folders."""
    found = hashlib.sha256()
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*.py")):
        found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def read_outcomes(path: Path) -> dict[str, Outcome]:
    """The last of each mutant; a line that was cut off is left out."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            one = Outcome(**json.loads(line))
        except (ValueError, TypeError):
            continue
        found[one.mutant] = one
    return found


def add_outcome(path: Path, one: Outcome) -> None:
    """Write one more line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(one._asdict()) + "\n")


def read_same(path: Path, root: Path) -> dict[tuple[str, str, str], Same]:
    """The reviewed list.

    Raises:
        ValueError: an entry's line is in no module any more.
    """
    found = {}
    for entry in tomllib.loads(path.read_text()).get("same", []):
        one = Same(**entry)
        lines = (root / one.module).read_text().splitlines() if (root / one.module).exists() else []
        if one.before not in " ".join(line.strip() for line in lines):
            raise ValueError(f"{path.name}: {one.module} has no line any more that reads: {one.before}")
        found[one.module, one.before, one.after] = one
    return found


def same_as(mutant: Mutant, reviewed: dict[tuple[str, str, str], Same]) -> Same | None:
    """Its entry in the list."""
    return reviewed.get((mutant.module, mutant.before, mutant.after))
