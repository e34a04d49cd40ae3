"""`last.ckpt`: what an interrupted training needs to continue as if nothing had happened.

The checkpoint before it is kept as `previous.ckpt`, for a disk that damages the latest. No state of a random
generator is among it, of no process: every random number derives from the seed, the epoch and the image, and the
position in the epoch says which come next.

The file is the SHA-256 of what follows (32 bytes), then what torch.save writes; it's read with weights_only.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from robustbench_aig.errors import RunError
from robustbench_aig.files import unwritable, write_atomic
from robustbench_aig.runs import CHECKPOINT, PREVIOUS, EpochRecord

State = dict[str, Any]
# Bytes of a SHA-256.
_DIGEST = 32


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stands.

    Attributes:
        model: its state dict.
        optimizer: the same.
        history: of the finished epochs.
        step: batches that the epoch under way has done.
        sums: of that epoch's tally, over all processes.
        seconds: that it has taken.
        best: state dict of the network after the best epoch so far, where one is chosen.
    """

    model: State
    optimizer: State
    history: list[EpochRecord]
    step: int
    sums: Tensor
    seconds: float
    best: State | None


def save_checkpoint(directory: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all; the one before becomes the previous one."""
    content = {**vars(checkpoint), "history": [epoch.model_dump_json() for epoch in checkpoint.history]}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getvalue()
    latest = directory / CHECKPOINT
    try:
        # Between these two lines a kill leaves only the previous one, which is a good checkpoint, too.
        with suppress(FileNotFoundError):
            latest.replace(directory / PREVIOUS)
    except OSError as error:
        raise unwritable(latest, error) from None
    write_atomic(latest, hashlib.sha256(data).digest() + data)


def drop_checkpoints(directory: Path) -> None:
    """Delete what a finished training no longer needs."""
    for name in (CHECKPOINT, PREVIOUS):
        (directory / name).unlink(missing_ok=True)


def load_checkpoints(directory: Path) -> Iterator[tuple[Path, Checkpoint | str]]:
    """The latest checkpoint and the one before, as far as they are there; what is damaged comes as the reason why."""
    for name in (CHECKPOINT, PREVIOUS):
        path = directory / name
        if path.exists():
            try:
                yield path, _read(path)
            except RunError as error:
                yield path, str(error)


def _read(path: Path) -> Checkpoint:
    try:
        content = path.read_bytes()
        data = content[_DIGEST:]
        if hashlib.sha256(data).digest() != content[:_DIGEST]:
            raise RunError("truncated or changed")
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        state["history"] = [EpochRecord.model_validate_json(line) for line in state["history"]]
        return Checkpoint(**state)
    except OSError as error:
        raise RunError(error.strerror or "unreadable") from None
    except ValidationError:
        raise RunError("its history is not valid") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError) as error:
        raise RunError(str(error).split("\n")[0][:120]) from None
