"""Progress on stderr: a live line on a terminal, one line per epoch or measurement elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from robustbench_aig.cli.forecast import Forecast
from robustbench_aig.errors import printable
from robustbench_aig.runs import RunRecord

if TYPE_CHECKING:
    from robustbench_aig.evaluation import ChunkDone, Evaluator
    from robustbench_aig.records import Plan
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
                task = bar.add_task(escape(printable(name)), total=event.steps, completed=event.step, state="")
            state = _state(event.epoch, event.epochs, event.loss, event.accuracy, event.rate)
            bar.update(task, completed=event.step, state=state)
    raise AssertionError("a training ends with its record")


def _state(epoch: int, epochs: int, loss: float, accuracy: float, rate: float | None) -> str:
    gates = "" if rate is None else f"  gates open {rate:.2f}"
    return f"epoch {epoch}/{epochs}  loss {loss:.3f}  accuracy {accuracy:.1%}{gates}"


def _epoch_line(event: EpochEvent) -> str:
    record = event.record
    state = _state(record.epoch, event.epochs, record.loss, record.train_accuracy, record.train_mean_rate)
    found = ", ".join(
        f"{score.accuracy:.1%}" + ("" if policy == "none" else f" {policy}")
        for policy, score in record.validation.items()
    )
    if record.robust is not None:
        found += f", attacked {record.robust.pgd:.1%}"
    left = timedelta(seconds=round((event.epochs - record.epoch) * record.seconds))
    return f"{state}  validation {found}  {record.images_per_second:.0f} images/s  {left} left"


def count_images(evaluator: Evaluator, to: Console) -> list[str]:
    """Carry out an evaluation and show how far it is; the reasons of chunks in which images ended as errors.

    Time left is over the whole plan: of what this run has measured, at the speed of this run.
    """
    plan, reasons = evaluator.plan, []
    forecast = Forecast(plan.evaluations, plan.data.n, evaluator.together.world.size)
    told = _Told(plan, to)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=to, disable=not to.is_terminal) as bar:
        task = bar.add_task("", total=plan.data.n * len(plan.evaluations), left="")
        for event in evaluator:
            forecast.add(event)
            left = _left(forecast)
            bar.update(task, completed=event.done, description=event.evaluation.id, left=left)
            told.tell(event, left)
            if event.reason:
                reasons.append(f"{event.evaluation.id}: {event.reason}")
    return reasons


class _Told:
    """Lines about an evaluation: where there is no live one, one for each measurement; and what should be known."""

    def __init__(self, plan: Plan, to: Console) -> None:
        self._to = to
        self._images = plan.data.n
        self._done: Counter[str] = Counter()
        self._seconds: dict[str, float] = defaultdict(float)
        self._resumed = 0
        self._short = False

    def tell(self, event: ChunkDone, left: str) -> None:
        """A chunk is finished, and so much is left."""
        what = event.evaluation.id
        self._done[what] += event.images
        self._seconds[what] += event.seconds
        if event.resumed:
            self._resumed += event.images
        elif self._resumed:
            self._to.print(f"{self._resumed}/{event.total} images were done before", markup=False)
            self._resumed = 0
        if event.reason:
            self._to.print(f"error in {what}: {event.reason}", markup=False)
        if event.short and not self._short:
            self._short = True
            self._to.print(
                f"{what}: memory was short, so at most {event.short} images went through the network at once, as their "
                f"rows say; --chunk {event.short} would save the failed attempts",
                markup=False,
            )
        if self._done[what] == self._images and not event.resumed and not self._to.is_terminal:
            self._to.print(f"{event.done}/{event.total}  {what}  {self._seconds[what]:.1f} s  {left}", markup=False)


def _left(forecast: Forecast) -> str:
    seconds, at_least = forecast.left()
    return f"{'at least ' if at_least else ''}{timedelta(seconds=round(seconds))} left"
