"""Whatever a file says, or an option: a result, or one line. No traceback, no file elsewhere, no hang."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import click
import numpy as np
import pytest

from robustbench_aig.cli.app import COMMANDS, app
from robustbench_aig.errors import AigrobError
from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting import aggregate
from robustbench_aig.reporting.evidence import load_images
from robustbench_aig.reporting.leaderboard import board_page, leaderboard
from robustbench_aig.reporting.run_page import write_run_page
from robustbench_aig.runs import read_history, read_run
from robustbench_aig.threat import Threat
from robustbench_aig.training import train
from robustbench_aig.zoo import change_named, find_attack, find_claim, find_model, find_suite
from tests.command import aigrob_here
from tests.evaluation.conftest import SHAPE, evaluator, make
from tests.mutations import ODD_TEXTS, Random, bytes_changed, json_changed, table_changed, toml_changed
from tests.tiny import job

ROOT = Path(__file__).parent.parent
PATIENCE = 10.0
"""Seconds for one case."""


class HangError(BaseException):
    """A case took too long; no `except Exception` stops it."""


@contextmanager
def no_hang() -> Iterator[None]:
    def rung(_signal: int, _frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, rung)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def one_line(call: Callable[[], object]) -> None:
    """It may refuse, in one line that names a cause, and nothing else."""
    told = "nothing"
    try:
        call()
    except AigrobError as error:
        told = str(error)
    assert told.strip()


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report directory and a run, as aigrob writes them."""
    root = tmp_path_factory.mktemp("originals")
    list(evaluator(root / "report", make(attacks=("fgsm",), eps=("8/255",))))
    done = aigrob_here(root, "report", "report")
    assert done.returncode == 0, done.stderr
    list(train(job(root / "run", epochs=1)))
    return root


def read_report(directory: Path) -> None:
    """All that reads a report directory, but for the page."""
    for reader in (aggregate, load_report, lambda path: board_page(leaderboard(path))):
        one_line(partial(reader, directory))
    for path in directory.glob("images/*.safetensors"):
        one_line(partial(load_images, directory, path.stem, SHAPE))


def of_report(originals: Path, random: Random, where: Path) -> None:
    """One file of a report directory is changed; its manifest is there, or nobody can know."""
    directory = Path(shutil.copytree(originals / "report", where / "report"))
    if random.random() < 0.8:
        (directory / "manifest.json").unlink()
    paths = [path for path in sorted(directory.rglob("*")) if path.is_file() and path.suffix not in {".html", ""}]
    path = paths[random.integers(len(paths))]
    change = {".json": json_changed, ".parquet": table_changed}.get(path.suffix, bytes_changed)
    change = change if random.random() < 0.7 else bytes_changed
    path.write_bytes(change(path.read_bytes(), random))
    read_report(directory)
    if random.random() < 0.02:
        done = aigrob_here(where, "report", "report")
        assert "internal error" not in done.stderr, done.stderr


def of_run(originals: Path, random: Random, where: Path) -> None:
    directory = Path(shutil.copytree(originals / "run", where / "run"))
    path = directory / ("run.json", "history.jsonl")[random.integers(2)]
    change = json_changed if path.suffix == ".json" and random.random() < 0.7 else bytes_changed
    path.write_bytes(change(path.read_bytes(), random))
    readers: list[Callable[[Path], object]] = [read_run, read_history]
    readers += [write_run_page] if random.random() < 0.1 else []
    for reader in readers:
        one_line(partial(reader, directory))


RECIPES: dict[str, Callable[[str], object]] = {"models": find_model, "attacks": find_attack, "claims": find_claim}


def of_recipe(_: Path, random: Random, where: Path) -> None:
    kind = ("models", "attacks", "claims")[random.integers(3)]
    paths = sorted(path for path in (ROOT / kind).rglob("*.toml") if "released" not in path.parts)
    path = where / "mine.toml"
    change = toml_changed if random.random() < 0.7 else bytes_changed
    path.write_bytes(change(paths[random.integers(len(paths))].read_bytes(), random))
    one_line(lambda: RECIPES[kind](str(path)))
    if kind == "attacks":
        one_line(lambda: find_suite(str(path)))


def of_text(_: Path, random: Random, where: Path) -> None:
    """An epsilon, a change to an attack, a name of anything."""
    text, other = (ODD_TEXTS[i] for i in random.integers(len(ODD_TEXTS), size=2))
    one_line(lambda: Threat.parse(text, ("linf", "l2", other)[random.integers(3)]))
    one_line(lambda: change_named("pgd", f"{('steps', 'step', 'keep', 'x')[random.integers(4)]}={text}"))
    one_line(lambda: RECIPES[("models", "attacks", "claims")[random.integers(3)]](text))
    if "\0" not in text:
        one_line(lambda: read_run(where / text))


def of_flags(_: Path, random: Random, where: Path) -> None:
    """A command whose images or networks aren't there gets odd options, too."""
    commands = [name for name in COMMANDS if name not in {"demo", "bench"}]
    name = commands[random.integers(len(commands))]
    command = app.get_command(click.Context(app), name)
    assert command is not None
    options = [one for one in command.params if isinstance(one, click.Option) and not one.is_flag]
    if not options:
        return
    chosen = options[random.integers(len(options))]
    value = ODD_TEXTS[random.integers(len(ODD_TEXTS))].replace("\0", "")  # no shell hands that over
    arguments = [name, *(["nowhere"] if name != "attacks" else []), max(chosen.opts, key=len), value]
    done = aigrob_here(where, *arguments)
    assert "internal error" not in done.stderr, (arguments, done.stderr)


KINDS = {"report": of_report, "run": of_run, "recipe": of_recipe, "text": of_text, "flags": of_flags}
SHARES = {"report": 0.04, "run": 0.1, "recipe": 0.46, "text": 0.25, "flags": 0.15}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "cases", [2000, pytest.param(50_000, marks=[pytest.mark.evidence, pytest.mark.timeout(36_000)])]
)
def test_nothing_but_a_result_or_one_line(cases: int, kind: str, originals: Path, tmp_path: Path) -> None:
    """A case that fails is named by its seed, which alone makes it again."""
    for seed in range(int(cases * SHARES[kind])):
        random = np.random.default_rng([seed, list(KINDS).index(kind)])
        where = tmp_path / "outer" / "inner" / "here"
        where.mkdir(parents=True)
        try:
            with no_hang():
                KINDS[kind](originals, random, where)
        except BaseException as error:
            error.add_note(f"kind {kind}, seed {seed}")
            raise
        outer = tmp_path / "outer"
        assert [path.name for path in (*outer.iterdir(), *(outer / "inner").iterdir())] == ["inner", "here"], seed
        shutil.rmtree(outer)
