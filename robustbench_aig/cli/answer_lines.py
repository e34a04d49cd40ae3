"""The answers of a report on the terminal: at most 80 columns, names never broken."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby

from robustbench_aig.records import Answer, Report
from robustbench_aig.reporting.words import answer_number, gates_text

_WIDTH = 80
_INDENT = "  "


def answer_lines(report: Report) -> Iterator[str]:
    """Each question, and under it the answer for every gate policy; of the first gated recipe where there are several.

    The command that brings what is missing stands in a line of its own, whole, so that it can be copied.
    """
    mine = [one for one in report.answers if one.gated == report.answers[0].gated]
    for asked, found in groupby(sorted(mine, key=lambda one: _order(mine, one)), key=lambda one: one.asked):
        yield asked
        for one in found:
            number = answer_number(one)
            told = f"{gates_text(one.gate_policy)}: {one.told}{f', {number}' if number else ''}"
            yield from textwrap.wrap(
                told,
                _WIDTH,
                initial_indent=_INDENT,
                subsequent_indent=2 * _INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
            if one.command:
                yield f"{_INDENT}next: {one.command}"
    if len(mine) < len(report.answers):
        yield f"These are the answers for {', '.join(mine[0].gated)}; the page has those for the other gated networks."


def _order(answers: list[Answer], one: Answer) -> int:
    """Questions stay together, in the order in which they were first asked."""
    return [other.question for other in answers].index(one.question)
