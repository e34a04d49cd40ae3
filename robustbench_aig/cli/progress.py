"""Progress on stderr: a live line on a terminal, one line per epoch or measurement elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from robustbench_aig.runs import RunRecord

if TYPE_CHECKING:
    from robustbench_aig.evaluation import ChunkDone
    from robustbench_aig.training import EpochEvent, Event


@contextmanager
def counting(to: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a callback that shows how many images of how many are done, on a terminal."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=to, transient=True, disable=not to.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def reading(to: Console) -> AbstractContextManager[Callable[[int, int], None]]:
    """Yields a callback that shows how many images are read, on a terminal."""
    return counting(to, "reading images")


def follow(events: Iterator[Event], name: str, to: Console) -> RunRecord:
    """Show a training until it's finished, and return its record."""
    from robustbench_aig.training import EpochEvent, FinishedEvent, NoteEvent  # noqa: PLC0415 - torch takes seconds to import

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=to, disable=not to.is_terminal) as bar:
        task: TaskID | None = None
        for event in events:
            if isinstance(event, FinishedEvent):
                return event.record
            if isinstance(event, EpochEvent):
                if not to.is_terminal:
                    to.print(f"{name}  {_epoch_line(event)}", markup=False)
                elif task is not None:
                    bar.update(task, completed=event.step)
                continue
            if isinstance(event, NoteEvent):
                to.print(f"{name}: {event.text}", markup=False)
                continue
            if task is None:
                # A resumed training must not count what was done before as done just now.
                task = bar.add_task(name, total=event.steps, completed=event.step, state="")
            state = _state(event.epoch, event.epochs, event.loss, event.accuracy, event.rate)
            bar.update(task, completed=event.step, state=state)
    raise AssertionError("a training ends with its record")


def _state(epoch: int, epochs: int, loss: float, accuracy: float, rate: float | None) -> str:
    gates = "" if rate is None else f"  gates {rate:.2f}"
    return f"epoch {epoch}/{epochs}  loss {loss:.3f}  accuracy {accuracy:.1%}{gates}"


def _epoch_line(event: EpochEvent) -> str:
    record = event.record
    loss = record.cross_entropy + (record.rate_loss or 0) + (record.divergence or 0)
    state = _state(record.epoch, event.epochs, loss, record.train_accuracy, record.train_mean_rate)
    found = ", ".join(
        f"{score.accuracy:.1%}" + ("" if policy == "none" else f" {policy}")
        for policy, score in record.validation.items()
    )
    if record.robust is not None:
        found += f", attacked {record.robust.pgd:.1%}"
    return f"{state}  validation {found}  {record.images_per_second:.0f} images/s"


def count_images(events: Iterable[ChunkDone], to: Console) -> list[str]:
    """Show an evaluation until it's finished; the reasons of chunks in which images ended as errors."""
    reasons = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=to, disable=not to.is_terminal) as bar:
        task: TaskID | None = None
        last = None
        for event in events:
            what = event.evaluation.id
            if task is None:
                task = bar.add_task(what, total=event.total)
            bar.update(task, completed=event.done, description=what)
            if what != last and not to.is_terminal:
                to.print(f"{event.done}/{event.total}  {what}", markup=False)
            last = what
            if event.reason:
                reasons.append(f"{what}: {event.reason}")
                to.print(f"error in {what}: {event.reason}", markup=False)
    return reasons
