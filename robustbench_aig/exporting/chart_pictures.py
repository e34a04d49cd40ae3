"""The three answers as PNG pictures that explain themselves: for slides and for issues."""

from __future__ import annotations

import textwrap

from robustbench_aig.errors import InputError
from robustbench_aig.exporting.exported import Exported, Request
from robustbench_aig.reporting.answer_cards import Card, cards
from robustbench_aig.reporting.eps_curves import over_eps_alone
from robustbench_aig.reporting.evidence import load_plan
from robustbench_aig.reporting.words import NBSP, answer_text

_LETTERS = 66


def chart_pictures(request: Request) -> Exported:
    """Write `more-robust.png`, `slower.png` and `gates.png`: question, answers, curves over ε with a legend.

    Raises:
        RunError: the report came without its plan.
        InputError: the report has no answers, as those of early versions and of networks without gates.
        MemoryError: a limit of addresses leaves no room for drawing.
    """
    done, report = Exported(), request.report
    if not report.answers:
        raise InputError(
            f"{request.directory} has no answers to draw: they are about gated networks, since version 0.2"
        )
    for card in cards(report, load_plan(request.directory)):
        name = card.answers[0].question
        if card.lines:
            done.write(request.out / f"{name}.png", _picture(card))
        else:
            done.remarks.append(f"{name}: no picture, since nothing of it was measured")
    return done


def _picture(card: Card) -> bytes:
    told = [line for answer in card.answers for line in textwrap.wrap(answer_text(answer).replace(NBSP, " "), _LETTERS)]
    return over_eps_alone(card.lines, card.axis, card.asked, told)
