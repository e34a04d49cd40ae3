"""Which of several processes speaks."""

from __future__ import annotations

import os


def leads() -> bool:
    """Whether this process is the leader of those that torchrun or this command has started, or alone."""
    return os.environ.get("RANK", "0") == "0"
