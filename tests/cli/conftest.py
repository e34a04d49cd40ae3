"""A pair trained in seconds, and its evaluation, which was not interrupted."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from robustbench_aig.training import train
from tests.command import aigrob_here
from tests.sharing import shared
from tests.tiny import job

FAST = ["--attack", "fgsm", "--attack", "pgd-torchattacks", "--attack", "corners", "--limit", "60", "--chunk", "25"]
WHOLE = ["attack", "--eps", "8/255", "--eps", "32/255", "--name", "whole", *FAST]
"""In chunks of 25, 25 and 10 images."""


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder `runs/` with a finished plain and a finished gated run."""

    def make(where: Path) -> None:
        for name in ("plain", "gated"):
            list(train(job(where / "runs" / name, gated=name == "gated")))

    with shared(tmp_path_factory, "pair", make) as where:
        yield where / "runs"


@pytest.fixture(scope="session")
def uninterrupted(pair: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The report directory of the pair, made by one process in one go."""

    def make(where: Path) -> None:
        shutil.copytree(pair, where / "runs")
        result = aigrob_here(where, *WHOLE, "--json")
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["status"] == "complete"

    with shared(tmp_path_factory, "uninterrupted", make) as where:
        yield where / "reports" / "whole"


def chunks_done(report: Path) -> int:
    """How many chunks are on disk, merged or not."""
    parts, tables = report / "parts", report / "samples"
    if not parts.is_dir():
        return 0
    return len(list(parts.glob("*.parquet"))) + 3 * len(list(tables.glob("*.parquet")))
