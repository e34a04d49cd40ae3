"""What takes long to make is made by one test process, and copied by the others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock


@contextmanager
def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Iterator[Path]:
    """A folder of this process's own with what `make` puts into one, for tests that add nothing to it.

    Tests are dealt to processes as these become free: one that counts on
    what another left, or on its absence, passes on some days.
    """
    base = factory.getbasetemp()
    common = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    with FileLock(f"{common}.lock"):
        if not common.exists():
            making = factory.mktemp(name)
            make(making)
            making.rename(common)
    own = Path(shutil.copytree(common, factory.mktemp(name) / "own"))
    yield own
    added = _files(own) ^ _files(common)
    assert not added, f"tests wrote into or deleted from what they share: {sorted(map(str, added))}"


def _files(of: Path) -> set[Path]:
    # Who has a directory open comes and goes.
    return {path.relative_to(of) for path in of.rglob("*") if path.name not in {".lock", ".writer.json"}}
