"""What takes long to make is made by one test process, and copied by the others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of this process's own with what `make` puts into one."""
    base = factory.getbasetemp()
    common = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    with FileLock(f"{common}.lock"):
        if not common.exists():
            making = factory.mktemp(name)
            make(making)
            making.rename(common)
    return Path(shutil.copytree(common, factory.mktemp(name) / "own"))
