"""Processes beside the one that the user started, which share an evaluation with it on one machine."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from subprocess import PIPE, Popen
from threading import Thread

from robustbench_aig.errors import LostProcessError, RunError

_COMPANION = "AIGROB_COMPANION"


def leads() -> bool:
    """Whether this process is the leader of those that torchrun or this command has started, or alone."""
    return os.environ.get("RANK", "0") == "0"


def is_companion() -> bool:
    """Whether this process was started by another one, to help it."""
    return _COMPANION in os.environ


@contextmanager
def companions(processes: int, arguments: Sequence[str]) -> Iterator[Callable[[], None]]:
    """Run the same command in so many processes, this one included and leading; the others end when it does.

    Yields what they all call before they join their world. It waits until all have come; in the leader it raises
    RunError where one has ended.
    """
    started: list[Popen[bytes]] = []
    if is_companion():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # silently: the leader says what is to be said
        yield _arrive
    elif processes == 1:
        yield lambda: None
    else:
        world = {"RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ""}
        world |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(processes))
        os.environ.update(world)
        try:
            started.extend(_start(str(rank), arguments) for rank in range(1, processes))
            yield lambda: _gather(started)
        except RunError:
            time.sleep(1)  # in which a companion that has failed says why
            raise
        finally:
            for process in started:
                with process:
                    process.kill()  # chunks are written whole or not at all
            for name in world:
                del os.environ[name]


def _start(rank: str, arguments: Sequence[str]) -> Popen[bytes]:
    """A companion, which ignores Ctrl-C and imports what this process does (-P: nothing from the working directory)."""
    own = {"RANK": rank, "LOCAL_RANK": rank, _COMPANION: "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    own["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # its waiting for a leader that has ended is no news
    command = [sys.executable, "-P", "-m", "robustbench_aig.cli", *arguments]
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited
    try:
        return Popen(command, env=os.environ | own, stdin=PIPE, stdout=PIPE, bufsize=0)  # noqa: S603 - ourselves
    finally:
        signal.signal(signal.SIGINT, handler)


def _gather(started: Sequence[Popen[bytes]]) -> None:
    """Wait for the companions; then choose the port, which may not stay free for long, and tell them."""
    with suppress(BrokenPipeError):
        if all(process.stdout and process.stdout.read(1) for process in started):
            with socket.create_server((os.environ["MASTER_ADDR"], 0)) as free:
                port = os.environ["MASTER_PORT"] = str(free.getsockname()[1])
            for process in started:
                assert process.stdin
                process.stdin.write(port.encode())
            return
    raise LostProcessError


def _arrive() -> None:
    """Say so, hear the port, and from then on end with the leader, whose end closes the pipe however it ends."""
    with suppress(BrokenPipeError):
        os.write(1, b"!")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ["MASTER_PORT"] = os.read(0, 5).decode() or sys.exit(1)
    Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()
