"""Progress of an evaluation on stderr: a live line on a terminal, one line per measurement elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from robustbench_aig.evaluation import ChunkDone


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
