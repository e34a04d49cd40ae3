"""Ctrl-C and SIGTERM ask a training to stop at the next good moment."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HEARD = b"\naigrob: saving and stopping; press again to quit at once\n"


@contextmanager
def stop_on_signals(*, quiet: bool) -> Iterator[Callable[[], bool]]:
    """Yields a question: has anybody asked to stop? A second signal doesn't ask any more, but interrupts.

    Args:
        quiet: don't say that the first signal was heard.
    """
    asked = False
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        if not quiet:
            # The signal may have come in the midst of a print or an import, where another one would fail.
            os.write(2, _HEARD)

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as a shell does for a job in the background
            signal.signal(number, ask)
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
