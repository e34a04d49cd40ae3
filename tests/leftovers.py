"""What a writer leaves behind that is killed in the middle of a file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from robustbench_aig.files import replacing


def half_written(path: Path, content: bytes) -> Path:
    """The unfinished file beside `path`, under the name that the writer itself gave it."""
    before = set(path.parent.iterdir())
    with suppress(KeyboardInterrupt), replacing(path) as stream:
        stream.write(content)
        (partial,) = set(path.parent.iterdir()) - before
        raise KeyboardInterrupt
    partial.write_bytes(content)  # a kill runs no `finally`
    return partial
