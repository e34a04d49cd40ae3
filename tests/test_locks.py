"""The second process in a directory is told who is there; a killed one leaves nothing locked."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import pytest

from robustbench_aig.errors import InputError, RunError
from robustbench_aig.evaluation.store import Store
from robustbench_aig.locks import give_back, take
from robustbench_aig.training import train
from tests.evaluation.conftest import make
from tests.holding import another
from tests.tiny import job


def test_the_second_process_is_told_who_is_there_and_a_kill_gives_back(tmp_path: Path) -> None:
    with another(tmp_path) as process:
        with pytest.raises(RunError) as told:
            take(tmp_path)
        line = (
            rf"{tmp_path} is being written by process {process.pid} on {socket.gethostname()} since 20[\d-]+T[\d:+]+: "
        )
        assert re.match(line, str(told.value))
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        give_back(take(tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("said", [b"", b"[]", b"\xff", b'{"process": 1}'])
def test_who_is_there_may_be_unknown(said: bytes, tmp_path: Path) -> None:
    with another(tmp_path):
        (tmp_path / ".writer.json").write_bytes(said)
        with pytest.raises(RunError, match="is being written by another process: wait"):
            take(tmp_path)


def test_one_process_may_take_a_directory_again(tmp_path: Path) -> None:
    first, second = take(tmp_path), take(tmp_path)
    give_back(first)
    give_back(second)
    with another(tmp_path), pytest.raises(RunError):
        take(tmp_path)


def test_what_nobody_holds_any_more_is_free(tmp_path: Path) -> None:
    lock = take(tmp_path)
    del lock
    with another(tmp_path):
        pass


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    elsewhere, directory = tmp_path / "elsewhere", tmp_path / "in"
    elsewhere.write_text("precious")
    directory.mkdir()
    (directory / ".lock").symlink_to(elsewhere)
    with pytest.raises(InputError):
        take(directory)
    assert elsewhere.read_text() == "precious"


def test_a_report_directory_has_one_writer(tmp_path: Path) -> None:
    plan = make()
    first = Store(tmp_path)
    first.open(plan, resume=False)
    first.give_back()
    with another(tmp_path) as process:
        for store, resume in ((Store(tmp_path), False), (Store(tmp_path), True)):
            with pytest.raises(RunError, match=f"by process {process.pid}"):
                store.open(plan, resume=resume)
        with pytest.raises(RunError, match=f"by process {process.pid}"):
            Store(tmp_path).open(make(seed=1), resume=True)
    Store(tmp_path).open(plan, resume=True)


def test_a_run_directory_has_one_writer(tmp_path: Path) -> None:
    training = job(tmp_path / "run", epochs=1)
    events = train(training, tick=0)
    next(events)
    events.close()  # type: ignore[attr-defined]
    with another(tmp_path / "run") as process:
        for resume in (False, True):
            with pytest.raises(RunError, match=f"by process {process.pid}"):
                list(train(training, resume=resume))
    list(train(training, resume=True))
