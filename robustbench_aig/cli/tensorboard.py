"""What a training tells, as scalars for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_aig.errors import InputError
from robustbench_aig.files import make_folder, unwritable
from robustbench_aig.recipes.model_recipes import Place, gate_places
from robustbench_aig.runs import EpochRecord, read_history, read_run

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from robustbench_aig.training import Event

_SUFFIX = ".aigrob"
"""Of our files, which alone are emptied."""

_FLUSH = 30
"""Seconds; TensorBoard looks as often."""


def check_tensorboard() -> None:
    """InputError where the extra is missing: asked before a training, it costs nobody an hour."""
    try:
        import torch.utils.tensorboard  # noqa: F401, PLC0415 - an extra, and it imports torch
    except ImportError:
        raise InputError("--tensorboard needs another package: pip install 'robustbench_aig[tensorboard]'") from None


def logged(events: Iterator[Event], run: Path, log: Path) -> Iterator[Event]:
    """Pass a training's events on, and write their numbers for TensorBoard on the way.

    The log is a function of the run's history, which knows every finished epoch: where a training goes on, the log is
    written anew from it. So no epoch is missing or there twice, however the training was killed, whichever checkpoint
    it went back to, and whoever reads the log. Only what was told within an epoch is not known any more; it's dropped.

    Numbers of an epoch are at that epoch; those of `live`, means over the epoch so far, at the training's step.

    Args:
        events: of one training; in the process that leads, where there are several.
        run: its directory.
        log: the log's directory, made where it's missing; other people's files in it stay.

    Raises:
        InputError: the extra is missing, or the log cannot be written.
    """
    check_tensorboard()
    from robustbench_aig.training import EpochEvent, NoteEvent, StepEvent  # noqa: PLC0415 - torch takes seconds to import

    writer: SummaryWriter | None = None
    gates: list[Place] = []
    epochs = 0
    try:
        for event in events:
            if writer is None:
                # The run is open by now, and its history goes as far as the checkpoint from which the training goes on.
                writer = _open(log)
                gates = gate_places(read_run(run, unfinished=True).recipe.model)
                for record in read_history(run):
                    _write(writer, scalars(record, gates), record.epoch)
                    epochs = record.epoch
                writer.flush()
            match event:
                case StepEvent():
                    live = {"loss": event.loss, "accuracy": event.accuracy, "rate": event.rate}
                    _write(writer, {f"live/{name}": value for name, value in live.items()}, event.step)
                case EpochEvent() if event.record.epoch > epochs:
                    epochs = event.record.epoch
                    _write(writer, scalars(event.record, gates), epochs)
                    writer.flush()
                case NoteEvent():
                    writer.add_text("notes", event.text, epochs)
            yield event
    finally:
        if writer is not None:
            writer.close()


def scalars(record: EpochRecord, gates: Sequence[Place]) -> dict[str, float | None]:
    """Every number of an epoch by its tag; None where there is none. `gates` says where they are."""
    found = {
        "loss/total": record.loss,
        "loss/cross-entropy": record.cross_entropy,
        "loss/divergence": record.divergence,
        "loss/rate": record.rate_loss,
        "loss/information": record.information_loss,
        "loss/shaping": record.shaping_loss,
        "accuracy/training": record.train_accuracy,
        "rate/training": record.train_mean_rate,
        "lr": record.lr,
        "speed/images per second": record.images_per_second,
        "speed/seconds": record.seconds,
        **_by_gate("rate training", record.train_rates, gates),
    }
    for policy, score in record.validation.items():
        name = "validation" if policy == "none" else f"validation {policy}"
        found |= {
            f"accuracy/{name}": score.accuracy,
            f"rate/{name}": score.mean_rate,
            f"macs/{name}": score.mean_macs,
            **_by_gate(f"rate {name}", score.rates, gates),
        }
    if record.dependence is not None:
        found |= {"dependence/explained": record.dependence.explained, "dependence/paths": record.dependence.paths}
        found |= _by_gate("explained", record.dependence.of_gates, gates)
    if record.robust is not None:
        found |= {"attacked/fgsm": record.robust.fgsm, "attacked/pgd": record.robust.pgd}
    return found


def _by_gate(name: str, numbers: Sequence[float | None], gates: Sequence[Place]) -> dict[str, float | None]:
    if not numbers:
        return {}
    return {f"{name}/gate {gate}": number for gate, number in zip(gates, numbers, strict=True)}


def _open(log: Path) -> SummaryWriter:
    """An empty log; a TensorBoard that is looking at the old one forgets it."""
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra, and it imports torch

    make_folder(log)
    try:
        for old in log.glob(f"*tfevents*{_SUFFIX}"):
            # A TensorBoard that reads it would wait forever for a file that is gone; from an empty one it moves on.
            old.write_bytes(b"")
        return SummaryWriter(str(log), purge_step=0, flush_secs=_FLUSH, filename_suffix=_SUFFIX)
    except OSError as error:
        raise unwritable(log, error) from None


def _write(writer: SummaryWriter, numbers: Mapping[str, float | None], step: int) -> None:
    for tag, value in numbers.items():
        if value is not None:
            writer.add_scalar(tag, value, step)
