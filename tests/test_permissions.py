"""What may not be read or written is told as that: never as damage, and nothing is removed for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from robustbench_aig.data import load_data
from robustbench_aig.errors import DataError, InputError, RunError
from robustbench_aig.evaluation import Store
from robustbench_aig.files import write_atomic
from robustbench_aig.locks import take
from robustbench_aig.recipes.recipe_files import read_toml
from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting import aggregate, write_report
from robustbench_aig.runs import read_history, read_run
from robustbench_aig.training import train
from tests.evaluation.conftest import evaluator, make
from tests.tiny import job, write_images, write_recipe
from tests.unprivileged import as_user


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report directory, a run, a recipe and a folder of images."""
    root = tmp_path_factory.mktemp("made")
    list(evaluator(root / "report", make(attacks=("fgsm",), eps=("8/255",))))
    write_report(root / "report")
    list(train(job(root / "run", epochs=1)))
    write_recipe(root / "mine.toml", gated=True)
    write_images(root / "images")
    return root


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def files(root: Path) -> list[str]:
    return sorted(str(path) for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))


def go_on(directory: Path) -> None:
    store = Store(directory)
    try:
        store.open(make(attacks=("fgsm",), eps=("8/255",)), resume=True)
    finally:
        store.give_back()


READERS: list[tuple[str, Callable[[Path], object]]] = [
    ("report/plan.json", lambda root: aggregate(root / "report")),
    ("report/manifest.json", lambda root: aggregate(root / "report")),
    ("report/times.json", lambda root: aggregate(root / "report")),
    ("report/samples/plain.none.clean.parquet", lambda root: aggregate(root / "report")),
    ("report/samples/plain.none.clean.parquet", lambda root: go_on(root / "report")),
    ("report/images/plain.none.clean.safetensors", lambda root: go_on(root / "report")),
    ("report/times.json", lambda root: go_on(root / "report")),
    ("report/report.json", lambda root: load_report(root / "report")),
    ("run/run.json", lambda root: read_run(root / "run")),
    ("run/history.jsonl", lambda root: read_history(root / "run")),
    ("mine.toml", lambda root: read_toml(root / "mine.toml")),
    ("images/test/dog", lambda root: load_data(str(root / "images"), seed=0)),
]


@pytest.mark.parametrize(("name", "reader"), READERS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(READERS)])
def test_what_may_not_be_read_is_told_as_that(name: str, reader: Callable[[Path], object], copy: Path) -> None:
    before = files(copy)

    def asked() -> None:
        (copy / name).chmod(0)
        with pytest.raises((InputError, DataError), match=r"(?i)permission denied") as told:
            reader(copy)
        for word in ("delete", "damaged", "overwrite", "attack again"):
            assert word not in str(told.value)
        (copy / name).chmod(0o700)

    as_user(asked, copy)
    assert files(copy) == before


WRITERS: list[Callable[[Path], object]] = [
    lambda folder: write_atomic(folder / "plan.json", "{}"),
    take,
    go_on,
    write_report,
]


@pytest.mark.parametrize("writer", WRITERS)
def test_what_may_not_be_written_is_told_as_that(writer: Callable[[Path], object], copy: Path) -> None:
    folder = copy / "report"

    def asked() -> None:
        folder.chmod(0o500)
        with pytest.raises(InputError, match=r"cannot write .*Permission denied") as told:
            writer(folder)
        assert not isinstance(told.value, RunError)
        folder.chmod(0o700)

    as_user(asked, copy)
