"""The answers of a report on the terminal: at most 80 columns, names never broken."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from robustbench_aig.records import QUESTIONS, Report
from robustbench_aig.reporting.words import answer_text

_WIDTH = 80
_INDENT = "  "


def answer_lines(report: Report) -> Iterator[str]:
    """Each question, and under it the answer for every gate policy; of the first gated recipe where there are several.

    The command that brings what is missing stands in a line of its own, whole, so that it can be copied.
    """
    mine = report.first_answers
    for question, asked in QUESTIONS.items():
        found = [one for one in mine if one.question == question]
        yield asked
        for one in found:
            yield from textwrap.wrap(
                answer_text(one),
                _WIDTH,
                initial_indent=_INDENT,
                subsequent_indent=2 * _INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
        for command in dict.fromkeys(one.command for one in found if one.command):
            yield f"{_INDENT}next: {command}"
    if len(mine) < len(report.answers):
        yield f"These are the answers for {', '.join(mine[0].gated)}; for other gated networks see the claims."
