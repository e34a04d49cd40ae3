"""Tables as Markdown, as GitHub renders it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from robustbench_aig.reporting.tables.table import Cell, Link, Table, Value

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|$~#&!])")


def to_markdown(tables: Sequence[Table]) -> str:
    """The tables one below the other, each with its caption above and its notes below."""
    return "\n\n".join(map(_table, tables)) + "\n"


def _table(table: Table) -> str:
    numbers = len(table.head) - table.texts
    lines = [
        f"**{escaped(table.caption)}**",
        "",
        _line([escaped(text) for text in table.head]),
        _line([":---"] * table.texts + ["---:"] * numbers),
        *(_line([_cell(cell) for cell in row]) for row in table.rows),
        *(f"\n{escaped(note)}" for note in table.notes),
    ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    match cell:
        case Value():
            return cell.text  # of digits and brackets alone
        case Link():
            return f"[{escaped(cell.text)}](<{cell.target.translate(_IN_TARGET)}>)"
        case str():
            return escaped(cell)


_IN_TARGET = str.maketrans({"<": "%3C", ">": "%3E", "|": "%7C", "\\": "%5C", "\n": "%0A"})


def escaped(text: str) -> str:
    """Text that stands for itself, on one line; GitHub's $ for formulas and ~ for strikethrough included."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
