"""What of a plan is done, by whichever process: the leader's view of the report directory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from robustbench_aig.evaluation.store import Store
from robustbench_aig.records import EvaluationPlan, Plan


@dataclass(frozen=True)
class ChunkDone:
    """A chunk is on disk.

    Attributes:
        evaluation: which measurement.
        images: in the chunk; of an evaluation that an earlier run had finished, all.
        done: images finished over the whole plan.
        total: images of the whole plan.
        seconds: that a process worked on the chunk.
        short: images that fit into memory at once, where not all of the chunk did; else None.
        reason: why images of the chunk ended as errors; None where none did.
        resumed: whether an earlier run had finished the chunk.
    """

    evaluation: EvaluationPlan
    images: int
    done: int
    total: int
    seconds: float = 0.0
    short: int | None = None
    reason: str | None = None
    resumed: bool = False


class Ledger:
    """Finds finished chunks, and merges the evaluations that they complete."""

    def __init__(self, plan: Plan, store: Store) -> None:
        """For the whole of a plan, of which nothing has been seen yet."""
        self._plan, self._store = plan, store
        self._chunks = plan.chunks
        self._missing = {e.id: set(range(self._chunks)) for e in plan.evaluations}
        self._done = 0

    @property
    def complete(self) -> bool:
        """Whether every evaluation is merged."""
        return not self._missing

    def collect(self, *, resumed: bool = False) -> Iterator[ChunkDone]:
        """What has been finished since the last time, in the plan's order.

        Args:
            resumed: whether it was there before this run began.
        """
        parts = self._store.parts()
        for evaluation in self._plan.evaluations:
            missing = self._missing.get(evaluation.id)
            if missing is None:
                continue
            if resumed and self._store.finished(evaluation.id):
                del self._missing[evaluation.id]
                yield self._event(evaluation, self._plan.data.n, resumed=True)
                continue
            # In order, because a set has none and events must come alike in every run.
            for number in sorted(missing & parts.get(evaluation.id, set())):
                missing.remove(number)
                yield self._chunk(evaluation, number, resumed=resumed)
            if not missing:
                self._store.merge(evaluation.id, self._chunks)
                del self._missing[evaluation.id]

    def _chunk(self, evaluation: EvaluationPlan, number: int, *, resumed: bool) -> ChunkDone:
        effort = self._store.effort(evaluation.id, number)
        images = self._plan.size_of(number)
        return self._event(
            evaluation,
            images,
            seconds=effort.seconds,
            short=effort.short,
            reason=effort.reason,
            resumed=resumed,
        )

    def _event(
        self,
        evaluation: EvaluationPlan,
        images: int,
        *,
        seconds: float = 0.0,
        short: int | None = None,
        reason: str | None = None,
        resumed: bool,
    ) -> ChunkDone:
        self._done += images
        total = self._plan.data.n * len(self._plan.evaluations)
        return ChunkDone(evaluation, images, self._done, total, seconds, short, reason, resumed)
