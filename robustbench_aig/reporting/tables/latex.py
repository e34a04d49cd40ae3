r"""Tables as LaTeX: floats with booktabs, to be read by \input. They need \usepackage{booktabs} and UTF-8."""

from __future__ import annotations

import re
from collections.abc import Sequence

from robustbench_aig.reporting.tables.table import Cell, Table, text_of

_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "\u00a0": "~",
        "\u2212": "$-$",
        "\u00b7": r"$\cdot$",
        "\u2013": "--",
        "ε": r"$\varepsilon$",
        "∞": r"$\infty$",
    }
)


def to_latex(tables: Sequence[Table]) -> str:
    """The tables one below the other."""
    return "% \\usepackage{booktabs}\n" + "\n".join(map(_table, tables))


def _table(table: Table) -> str:
    columns = "l" * table.texts + "r" * (len(table.head) - table.texts)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(table.caption)}}}",
        rf"\label{{tab:aigrob-{table.name}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line([escaped(text) for text in table.head]),
        *_body(table),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\smallskip{{\footnotesize {escaped(note)}\par}}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _body(table: Table) -> list[str]:
    """The rows, with a rule above those that begin anew; the others leave their beginning out."""
    lines, before = [], None
    for row in table.rows:
        first, *rest = map(_cell, row)
        if first != before:
            lines.append(r"\midrule")
        lines.append(_line(["" if first == before else first, *rest]))
        before = first
    return lines


def _line(cells: Sequence[str]) -> str:
    line = " & ".join(cells) + r" \\"
    # After the line before, a bracket or a star would be an argument of its end.
    return f"{{}}{line}" if line[0] in "[*" else line


def _cell(cell: Cell) -> str:
    return escaped(text_of(cell))


def escaped(text: str) -> str:
    """Text that stands for itself, on one line."""
    return re.sub(r"[^\S\u00a0]+", " ", text).translate(_SPECIAL)
