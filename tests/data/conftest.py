"""A folder of images, and one where they are kept decoded."""

from pathlib import Path

import pytest

from robustbench_aig.data import cache
from tests.tiny import write_images


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder, where even the smallest split is kept."""
    monkeypatch.setenv("AIGROB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "WORTHWHILE", 1)
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_images(tmp_path / "pets")
