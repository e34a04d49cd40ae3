"""Ways of doing the same work, measured in turns within one process.

A machine's speed drifts with its heat, its clock and its other users. Two measurements that stand side by side see
the same drift, so what is believed is the ratio inside each pair and never the quotient of two times from afar.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

PAUSE = 0.5
"""Seconds of rest before every turn.

Workers that prefetch go on until their queue is full when their turn is over, and would take the cores away from
whoever is measured next. At most the queue's few batches are left to do, a fraction of this. Every turn rests,
so that nobody alone finds a cooled-down machine.
"""

TURN = 1.5
"""Seconds that a turn takes where the number of its steps isn't given."""


@dataclass(frozen=True)
class Way:
    """One way of doing the work.

    Attributes:
        steps: does one step whenever it's asked for the next item; never ends.
        lead: steps at the start of a turn that aren't measured: as many as it takes to use up what was prepared
            while others had their turn, so that the steps behind them pay for everything they need.
    """

    steps: Iterator[object]
    lead: int = 1


def in_turns(
    ways: Mapping[str, Way],
    *,
    rounds: int,
    steps: int | None = None,
    wait: Callable[[], object] = lambda: None,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> dict[str, list[float]]:
    """Let every way have its turn in every round; who begins changes from round to round.

    Args:
        ways: by name.
        rounds: that are measured; one more goes before them.
        steps: of a turn; None for as many as take each way about `TURN` seconds.
        wait: until the device has done all that it was told to.
        progress: told how many rounds of how many are done.

    Returns:
        For each way its seconds per step, one number per round.
    """
    counts = {name: steps or _steps_of_a_turn(way, wait) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1, rounds):
        for name in _rotated(list(ways), number):
            time.sleep(PAUSE)
            taken = _turn(ways[name], counts[name], wait)
            if number >= 0:  # the round before is the last of the warm-up
                seconds[name].append(taken)
        progress(number + 1, rounds)
    return seconds


def _rotated(names: Sequence[str], number: int) -> list[str]:
    first = number % len(names)
    return [*names[first:], *names[:first]]


def _turn(way: Way, steps: int, wait: Callable[[], object]) -> float:
    """Seconds per step."""
    _advance(way, way.lead)
    wait()
    started = time.perf_counter()
    _advance(way, steps)
    wait()
    return (time.perf_counter() - started) / steps


def _advance(way: Way, steps: int) -> None:
    for _ in islice(way.steps, steps):
        pass


def _steps_of_a_turn(way: Way, wait: Callable[[], object]) -> int:
    """Judged by a second try, because the first one allocates and chooses kernels."""
    _turn(way, 1, wait)
    return max(1, round(TURN / _turn(way, 2, wait)))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """The ratio inside each pair."""
    return [above / below for above, below in zip(numerators, denominators, strict=True)]
