"""How long an evaluation still takes, from what its attacks have cost so far."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from robustbench_aig.evaluation import ChunkDone
    from robustbench_aig.records import EvaluationPlan


class Left(NamedTuple):
    """Seconds that are left, or at least those: what was never measured costs nobody knows how much."""

    seconds: float
    at_least: bool


class Forecast:
    """Weighs what is left by the seconds per image that the same attack took so far.

    An attack costs what it cost on the same model under the same policy, else on all others that it was run on. What
    an earlier run had finished is not left, and says nothing of the speed of this one.
    """

    def __init__(self, evaluations: Sequence[EvaluationPlan], images: int, processes: int = 1) -> None:
        """For so many images in each evaluation, shared by so many processes."""
        self._left = {e.id: images for e in evaluations}
        self._evaluations = evaluations
        self._processes = processes
        self._spent: dict[tuple[str, ...], tuple[float, int]] = {}

    def add(self, event: ChunkDone) -> None:
        """Take note of a finished chunk."""
        self._left[event.evaluation.id] -= event.images
        if event.resumed:
            return
        for key in _keys(event.evaluation):
            seconds, images = self._spent.get(key, (0.0, 0))
            self._spent[key] = (seconds + event.seconds, images + event.images)

    def left(self) -> Left:
        """What is left of the whole plan."""
        rates = [(self._left[e.id], self._rate(_keys(e))) for e in self._evaluations if self._left[e.id]]
        seconds = sum(images * rate for images, rate in rates if rate is not None)
        return Left(seconds / self._processes, any(rate is None for _, rate in rates))

    def _rate(self, keys: Iterable[tuple[str, ...]]) -> float | None:
        """Seconds per image under the first of the keys that anything is known of."""
        known = (self._spent[key] for key in keys if key in self._spent)
        return next((seconds / images for seconds, images in known), None)


def _keys(e: EvaluationPlan) -> list[tuple[str, ...]]:
    """What evaluations that cost alike have in common, the nearest first."""
    what = "corruption" if e.corruption else e.attack
    return [(what, e.model, e.policy), (what,)]
