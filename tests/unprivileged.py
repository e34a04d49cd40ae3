"""What a user may do whom root is not: tests as root, too, see permissions denied."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

NOBODY, DONE = 65534, "done"


def as_user(call: Callable[[], object], *theirs: Path) -> None:
    """Call it in a child that isn't root, and fail where that fails.

    Args:
        call: imports nothing that isn't imported yet, since the user may not read it.
        theirs: folders that are given to the user before, with all in them; their parents must let everybody in.
    """
    if os.geteuid() != 0:
        call()
        return
    for folder in theirs:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        for above in folder.parents[:-1]:
            above.chmod(above.stat().st_mode | 0o011)
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, which the child doesn't use
        child = os.fork()
    if not child:
        try:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            call()
            told = DONE
        except BaseException:  # noqa: BLE001 - whatever it is, the parent tells it
            told = traceback.format_exc()
        os.write(write, told.encode()[-8000:])
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        told = stream.read()
    os.waitpid(child, 0)
    assert told == DONE, told or "the child was killed"
