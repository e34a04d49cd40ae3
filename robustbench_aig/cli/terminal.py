"""Where results and progress are shown."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from rich.console import Console
from rich.text import Text

from robustbench_aig.errors import printable


class _Plain(Console):
    """Shows names from files of strangers as text: what would move the cursor or change colours is spelled out."""

    def render_str(self, text: str, **how: Any) -> Text:  # noqa: ANN401 - rich's own signature
        """A text or a table's cell; rich's docs say the rest."""
        return super().render_str(printable(text), **how)


def stdout() -> Console:
    """As wide as the terminal, or wide enough for a table in a log."""
    console = _Plain()
    return console if console.is_terminal else _Plain(width=120)


def say(*lines: str) -> None:
    """Lines on stdout as they are, unbroken and without markup, so that paths and commands can be copied."""
    to = stdout()
    for line in lines:
        to.print(line, markup=False, highlight=False, soft_wrap=True)


def console(*, quiet: bool) -> Console:
    """For progress and notes: stderr, or nowhere."""
    return _Plain(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)


@contextmanager
def aside() -> Iterator[None]:
    """What is printed inside, by Python or by libraries in C, goes to stderr: stdout is for results."""
    with contextlib.redirect_stdout(sys.stderr), ExitStack() as stack:
        with suppress(OSError):  # a process may have closed them
            kept = os.dup(1)
            stack.callback(_put_back, kept)
            os.dup2(2, 1)
        yield


def _put_back(kept: int) -> None:
    """Stdout as it was, once the libraries in C have written what they hold back."""
    ctypes.CDLL(None).fflush(None)
    os.dup2(kept, 1)
    os.close(kept)
