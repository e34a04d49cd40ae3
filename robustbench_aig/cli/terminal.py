"""Where results and progress are shown."""

from __future__ import annotations

from rich.console import Console


def stdout() -> Console:
    """As wide as the terminal, or wide enough for a table in a log."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def console(*, quiet: bool) -> Console:
    """For progress and notes: stderr, or nowhere."""
    return Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
