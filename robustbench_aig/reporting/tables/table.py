"""A table, whatever it is written as."""

from __future__ import annotations

from dataclasses import dataclass

from robustbench_aig.records import Accuracy, Status
from robustbench_aig.reporting import words


@dataclass(frozen=True)
class Value:
    """One measured number: a cell for people, and a line of tidy data for machines.

    Attributes:
        model, policy: measured of.
        threat: as in the sample table: "linf 4/255", "none", "corruption".
        attack: as in the report; "union" is the worst case.
        quantity: the key in `report.json`, like "flip_rate".
        value: a share in [0, 1] or multiply-accumulates per image; None where there is none.
        n: images that it is over.
        text: how a cell shows it.
        low, high: the ends of its 95 % interval; None where it has none.
    """

    model: str
    policy: str
    threat: str
    attack: str
    quantity: str
    value: float | None
    n: int
    text: str
    low: float | None = None
    high: float | None = None

    @property
    def failed(self) -> bool:
        """Whether there is no number because images failed."""
        return self.value is None and self.n > 0


@dataclass(frozen=True)
class Link:
    """Text that leads to a file."""

    text: str
    target: str


Cell = Value | Link | str


@dataclass(frozen=True)
class Table:
    """Rows of cells under a head.

    Attributes:
        name: of one word, for cross-references.
        caption: what is shown, over which images, in which unit.
        head: a text for each column.
        rows: as many cells each; rows that begin alike belong together.
        texts: how many columns, from the left, hold texts; numbers follow.
        notes: what a reader must know beside the caption.
    """

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    texts: int
    notes: tuple[str, ...] = ()


MISSING = "–"
FAILED = "failed"
FAILED_NOTE = (
    f"{FAILED}: an attack crashed or left the ε ball on some images. They count as misclassified; no accuracy is given."
)


def text_of(cell: Cell) -> str:
    """What a cell shows."""
    return cell if isinstance(cell, str) else cell.text


def share_text(value: float, low: float | None = None, high: float | None = None) -> str:
    """A share in percent without its sign, which is in the caption: `12.0 [10.4, 14.1]`."""
    shown = words.number(100 * value)
    return shown if low is None or high is None else f"{shown} {words.bracket(low, high)}"


def accuracy_value(of: tuple[str, str, str, str], accuracy: Accuracy, status: Status) -> Value:
    """An accuracy, or that there is none; `of` is (model, policy, threat, attack)."""
    if status == "error":
        return Value(*of, "accuracy", None, accuracy.n, FAILED)
    low, high = accuracy.low, accuracy.high
    shown = share_text(accuracy.value, low, high)
    return Value(*of, "accuracy", accuracy.value, accuracy.n, shown, low, high)
