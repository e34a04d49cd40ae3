"""Mutants against the tests of their place, in forks of a process that has imported everything but the package."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import NoReturn

import hypothesis
import pytest

from benchmarks.mutants.mutation import Mutant

SURVIVED = "survived"
_LOADED = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
"""Plugins of pytest are among the libraries that a fork finds loaded."""


@dataclass(frozen=True)
class Job:
    """Tests that a mutant has to pass.

    Attributes:
        mutant: None for the package as it is.
        first: name of a test that is run before the others.
    """

    mutant: Mutant | None = None
    first: str | None = None


@dataclass(frozen=True)
class Trial:
    """How it ended.

    Attributes:
        outcome: `SURVIVED`, or what noticed the mutant: mostly the name of the first test that failed.
        seconds: that it took.
        imported: modules from outside of the checkout that it needed, in order.
    """

    outcome: str
    seconds: float
    imported: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Running:
    job: Job
    child: int
    begun: float


def trials(
    jobs: Iterable[Job], root: Path, tests: Sequence[str], *, at_once: int, limit: float
) -> Iterator[tuple[Job, Trial]]:
    """Each job as it ends.

    Args:
        jobs: what to try.
        root: of the checkout.
        tests: paths below it.
        at_once: forks that run at the same time.
        limit: seconds after which a mutant counts as noticed: many make a loop endless.
    """
    waiting, running = iter(jobs), dict[int, _Running]()
    while True:
        while len(running) < at_once and (job := next(waiting, None)) is not None:
            read, child = _fork(job, root, tests)
            running[read] = _Running(job, child, time.monotonic())
        if not running:
            return
        oldest = min(one.begun for one in running.values())
        answered = select.select(list(running), [], [], max(0.0, oldest + limit - time.monotonic()))[0]
        late = [read for read, one in running.items() if time.monotonic() > one.begun + limit]
        for read in answered or late:
            one = running.pop(read)
            yield one.job, _ended(read, one, answered=bool(answered))


def preload(names: Sequence[str]) -> None:
    """Import what every fork would import again; what cannot be imported by itself is left to them."""
    for name in names:
        with suppress(Exception):
            importlib.import_module(name)


def _fork(job: Job, root: Path, tests: Sequence[str]) -> tuple[int, int]:
    """Where the answer is to be read, and the process."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _in_fork(job, root, tests, write)
    os.close(write)
    return read, child


def _ended(read: int, one: _Running, *, answered: bool) -> Trial:
    with os.fdopen(read, "rb") as answers:
        said = answers.read() if answered else b""
        with suppress(ProcessLookupError):
            os.killpg(one.child, signal.SIGKILL)  # what the tests started goes with it
        os.waitpid(one.child, 0)
    seconds = time.monotonic() - one.begun
    if not answered:
        return Trial("no end", seconds)
    # Who died without a word hasn't passed.
    outcome, imported = json.loads(said) if said else ("the process died", [])
    return Trial(outcome, seconds, tuple(imported))


def _in_fork(job: Job, root: Path, tests: Sequence[str], answer: int) -> NoReturn:
    """The fork of a process that goes on must not go on with its work, whatever happens."""
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        os.chdir(root)
        sys.path.insert(0, str(root))
        if job.mutant is not None:
            sys.meta_path.insert(0, _Finder(job.mutant, root))
        # Every mutant meets the same examples, and none leaves any behind.
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", database=None, derandomize=True, phases=phases)
        hypothesis.settings.load_profile("mutants")
        seen = _Seen(job)
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", _LOADED, *tests], plugins=[seen])
        outcome = SURVIVED if code == 0 else seen.failed or f"pytest ended with {int(code)}"
        outside = [name for name, module in sys.modules.items() if not _inside(module, root)]
        _say(answer, outcome, outside)
    except BaseException as error:  # noqa: BLE001 - whatever it is, somebody waits for an answer
        _say(answer, f"the tests could not be run: {error!r}", [])
    finally:
        os._exit(0)


def _say(answer: int, outcome: str, imported: list[str]) -> None:
    with os.fdopen(answer, "w") as out:
        json.dump([outcome, imported], out)


def _inside(module: object, root: Path) -> bool:
    file = getattr(module, "__dict__", {}).get("__file__")  # who asks a lazy module for an attribute may get anything
    return isinstance(file, str) and Path(file).is_relative_to(root) and "site-packages" not in Path(file).parts


class _Seen:
    """Which test failed; a plugin of pytest that begins with what is likeliest to."""

    def __init__(self, job: Job) -> None:
        self.failed: str | None = None
        self.first = job.first
        self.own = f"test_{Path(job.mutant.module).name}" if job.mutant else ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: (item.nodeid != self.first, item.path.name != self.own))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid


class _Finder:
    """Finds the mutant where its module is asked for."""

    def __init__(self, mutant: Mutant, root: Path) -> None:
        self.name = mutant.module.removesuffix(".py").replace("/", ".")
        self.loader = _Loader(self.name, str(root / mutant.module), mutant.source)

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.loader.path, loader=self.loader)


class _Loader(SourceFileLoader):
    """Neither the file on disk nor what was compiled of it."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = compile(self.source, self.path, "exec", dont_inherit=True)
        return code
