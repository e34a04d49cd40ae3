"""The map of a training: execution rate of every gate (rows) after every epoch (columns), however many there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from robustbench_aig.recipes.model_recipes import Place
from robustbench_aig.reporting.heatmap import share
from robustbench_aig.reporting.words import NBSP, percent

_NAMED = 18
"""Rows up to which every one is named; of more, their stages are."""

_TICKS = 4


class Row(NamedTuple):
    """The name of some rows, and how many they are."""

    name: str
    gates: int


class Tick(NamedTuple):
    """An epoch below the map, and where: as a share of its width."""

    epoch: int
    place: float


class EpochMap(NamedTuple):
    """What a template draws: lines in units of one epoch and one gate.

    Attributes:
        title: what was measured.
        caption: what is seen.
        epochs, gates: columns and rows.
        names: of the rows, from the top.
        ticks: below the columns.
        lines: class of the colour -> path.
    """

    title: str
    caption: str
    epochs: int
    gates: int
    names: list[Row]
    ticks: list[Tick]
    lines: dict[str, str]

    @property
    def height(self) -> int:
        """Pixels: whole ones per row, so that all rows are equally high."""
        return self.gates * (16 if self.gates <= _NAMED else 6)


def epoch_map(
    title: str, epochs: Sequence[int], rates: Sequence[Sequence[float] | None], gates: Sequence[Place]
) -> EpochMap:
    """Draw rates by epoch and gate; an epoch without rates stays empty.

    Thousands of cells are eleven paths, in which neighbours of equal colour are one line: a training of 349 epochs with
    54 gates takes some hundred kilobytes.
    """
    lines: dict[str, str] = defaultdict(str)
    for row in range(len(gates)):
        looks = [share(of_epoch[row]).look if of_epoch else None for of_epoch in rates]
        column = 0
        for look, same in groupby(looks):
            length = len(list(same))
            if look is not None:
                lines[look] += f"M{column} {row}h{length}"
            column += length
    last = len(epochs) - 1
    shown = sorted({last * tick // _TICKS for tick in range(_TICKS + 1)})
    ticks = [Tick(epochs[position], (position + 0.5) / len(epochs)) for position in shown]
    return EpochMap(title, _caption(epochs, rates, gates), len(epochs), len(gates), _names(gates), ticks, dict(lines))


def _caption(epochs: Sequence[int], rates: Sequence[Sequence[float] | None], gates: Sequence[Place]) -> str:
    seen = rates[-1]
    if not seen:
        return f"Epoch {epochs[-1]}: not measured."
    low, high = min(seen), max(seen)
    mean = f"Epoch {epochs[-1]}: mean {percent(sum(seen) / len(seen))}"
    if low == high:
        return f"{mean}, the same for every gate."
    least, most = (f"{percent(rate)} (gate{NBSP}{gates[seen.index(rate)]})" for rate in (low, high))
    return f"{mean}, from {least} to {most}."


def _names(gates: Sequence[Place]) -> list[Row]:
    if len(gates) <= _NAMED:
        return [Row(str(place), 1) for place in gates]
    return [Row(f"stage {stage}", len(list(rows))) for stage, rows in groupby(gates, lambda place: place.stage)]
