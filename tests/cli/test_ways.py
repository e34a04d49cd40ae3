"""The two ways that CONTRIBUTING.md tells: who holds an epsilon, and who a batch, is watched while a command runs."""

import re
import shutil
import sys
from pathlib import Path
from types import FrameType

import pytest
from torch import Tensor

import robustbench_aig
from robustbench_aig.threat import Threat
from tests.command import aigrob_here

PACKAGE = Path(robustbench_aig.__file__).parent
TEXT = (PACKAGE.parent / "CONTRIBUTING.md").read_text()
AS_WRITTEN = {"records/base.py"}
"""Where a threat becomes text in a file, beside its way to the row."""

Found = dict[str, None]


def told(of: str) -> list[str]:
    """The files of one way, in order."""
    start = TEXT.index(f"- {of}")
    return re.findall(r"`([a-z_/]+\.py)`", re.split(r"\n- |\n\n", TEXT[start:])[0])


def threats_in(value: object) -> bool:
    values = value if isinstance(value, list | tuple) else (value,)
    return any(isinstance(one, Threat) for one in values)


@pytest.fixture(scope="module")
def seen(pair: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Found, Found]:
    """Files whose functions hold a threat, and those whose functions hold images, until the report is made."""
    threats: Found = {}
    images: Found = {}

    def watch(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event == "return" and file.startswith(str(PACKAGE)):
            name = Path(file).relative_to(PACKAGE).as_posix()
            values = frame.f_locals.values()
            if any(threats_in(value) for value in values):
                threats.setdefault(name)
            if any(isinstance(value, Tensor) and value.dim() == 4 for value in values):
                images.setdefault(name)
            if (name, frame.f_code.co_name) == ("evaluation/store.py", "close"):
                sys.setprofile(None)  # all rows are written, what follows is the page

    asked = (
        "attack gated --policy argmax --eps 16/255 --attack pgd:steps=2 --limit 6 --chunk 6 --no-latency --name ways"
    )
    where = tmp_path_factory.mktemp("ways")
    shutil.copytree(pair, where / "runs")
    sys.setprofile(watch)
    try:
        result = aigrob_here(where, *asked.split(), "--no-latency")
    finally:
        sys.setprofile(None)
    assert result.returncode == 0, result.stderr
    return threats, images


@pytest.mark.parametrize(("of", "most"), [("an epsilon", 12), ("a batch", 10)])
def test_a_way_is_short_and_meets_no_file_twice(of: str, most: int) -> None:
    way = told(of)
    assert len(way) == len(set(way)) <= most
    assert all((PACKAGE / name).is_file() for name in way)


def test_an_epsilon_goes_the_way_that_is_told(seen: tuple[Found, Found]) -> None:
    assert set(seen[0]) - AS_WRITTEN <= set(told("an epsilon"))
    assert {"evaluation/planning.py", "evaluation/chunk_worker.py", "attacks/attack_guard.py"} <= set(seen[0])


def test_a_batch_goes_the_way_that_is_told(seen: tuple[Found, Found]) -> None:
    of_evaluation = {name for name in seen[1] if name.startswith("evaluation/")}
    assert of_evaluation <= set(told("a batch"))
    assert {"attacks/attack_guard.py", "attacks/fgsm_and_pgd.py", "attacks/attack_loop.py"} <= set(seen[1])
