"""What a training tells its observer; it knows nothing of how that is shown."""

from __future__ import annotations

from dataclasses import dataclass

from robustbench_aig.runs import EpochRecord, RunRecord


@dataclass(frozen=True)
class StepEvent:
    """Where a training stands, told about twice a second; numbers are means over the epoch so far.

    Attributes:
        epoch: from 1.
        epochs: of the whole training.
        step: steps finished since the first epoch's first.
        steps: of the whole training.
        loss: the sum that is minimised.
        accuracy: on the training batches.
        rate: mean execution rate of the gates on the training batches; None for a plain network.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    rate: float | None


@dataclass(frozen=True)
class EpochEvent:
    """An epoch is finished and on disk.

    Attributes:
        record: the line of the history.
        epochs: of the whole training.
        step: steps finished since the first epoch's first.
    """

    record: EpochRecord
    epochs: int
    step: int


@dataclass(frozen=True)
class NoteEvent:
    """Something that the user should know."""

    text: str


@dataclass(frozen=True)
class FinishedEvent:
    """The training is finished, the weights are on disk."""

    record: RunRecord


Event = StepEvent | EpochEvent | NoteEvent | FinishedEvent
