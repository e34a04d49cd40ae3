"""One process writes a directory's evidence at a time. No torch.

A page isn't evidence: `aigrob report` makes one of what is there already, whoever is writing more.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from robustbench_aig.errors import RunError, printable
from robustbench_aig.files import unwritable, write_atomic

_LOCK, _HOLDER = ".lock", ".writer.json"


def take(directory: Path) -> FileLock:
    """Take a run's or a report's directory, which must exist, for this process.

    The system gives it back when the lock is released or gone, or the process ends, however it ends: nothing is ever
    left locked. A process may take a directory again that it has taken already.

    Raises:
        RunError: another process writes there; it says which one, and since when.
        InputError: the directory cannot be written.
    """
    lock = FileLock(directory / _LOCK, timeout=0, is_singleton=True)
    try:
        lock.acquire()
        holder = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "program": Path(sys.argv[0]).name,
        }
        write_atomic(directory / _HOLDER, json.dumps(holder))
    except Timeout:
        held = f"{directory} is being written{_by_whom(directory)}"
        raise RunError(f"{held}: wait for it, or give another --name") from None
    except NotImplementedError:  # some shared folders know no locks: then nobody is kept out
        pass
    except OSError as error:
        raise unwritable(directory, error) from None
    return lock


def give_back(lock: FileLock) -> None:
    """Let others write a directory that was taken, if it was taken no more than once; the empty `.lock` stays."""
    if lock.lock_counter == 1:
        Path(lock.lock_file).with_name(_HOLDER).unlink(missing_ok=True)
    lock.release()


@contextmanager
def only_writer(directory: Path) -> Iterator[None]:
    """The directory is this process's inside; errors as `take`'s."""
    lock = take(directory)
    try:
        yield
    finally:
        give_back(lock)


def refuse_held(directory: Path) -> None:
    """Refuse a directory that another process is writing; errors as `take`'s."""
    give_back(take(directory))


def _by_whom(directory: Path) -> str:
    """What the other process has said of itself; it may have had no time for that yet."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        found = json.loads((directory / _HOLDER).read_bytes())
        return printable(f" by process {found['process']} on {found['host']} since {found['since']}")
    return " by another process"
