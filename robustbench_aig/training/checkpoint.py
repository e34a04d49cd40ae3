"""`last.ckpt`: what an interrupted training needs to continue as if nothing had happened.

No state of a random generator is among it: every random number of an epoch derives from the seed, the epoch and
the image.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import nn

from robustbench_aig.errors import RunError
from robustbench_aig.files import write_atomic
from robustbench_aig.runs import CHECKPOINT, EpochRecord


def save_checkpoint(
    directory: Path, model: nn.Module, optimizer: torch.optim.Optimizer, history: list[EpochRecord]
) -> None:
    """Write the state after the latest epoch, whole or not at all."""
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": [epoch.model_dump_json() for epoch in history],
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(directory / CHECKPOINT, buffer.getvalue())


def load_checkpoint(directory: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> list[EpochRecord]:
    """Fill network and optimizer from the latest checkpoint.

    Returns:
        The history up to that epoch; empty where training was interrupted before its first checkpoint.

    Raises:
        RunError: the file is damaged or belongs to another network.
    """
    path = directory / CHECKPOINT
    if not path.exists():
        return []
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        history = [EpochRecord.model_validate_json(line) for line in state["history"]]
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, LookupError, ValueError, TypeError) as error:
        reason = "not valid" if isinstance(error, ValidationError) else str(error).split("\n")[0][:120]
        raise RunError(f"{path} is damaged ({reason}): start over with --overwrite") from None
    return history
