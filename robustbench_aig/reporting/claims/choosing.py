"""Whether the gates behind a claim choose at all: of gates that don't look, nothing is shown by how they move."""

from __future__ import annotations

from robustbench_aig.reporting.claims.question import Question
from robustbench_aig.reporting.claims.verdicts import HOLDS, Ruling
from robustbench_aig.reporting.gates import dependence_of
from robustbench_aig.reporting.looking import counted


def held_to_looking(ruling: Ruling, asked: Question) -> Ruling:
    """The ruling on a claim about the gates' choice: inconclusive where the gates of a network hardly look.

    Where the images are too few to tell, nothing is supported. Where it isn't known, as of sample tables without open
    probabilities over draws, the ruling stays.
    """
    for model in asked.group.gated:
        rows = asked.evidence.clean(model.name, asked.policy)
        found = None if rows is None else dependence_of(rows, model, asked.policy)
        if found is None or found.looks:
            continue
        only = f"only {counted(found)} of {model.name} certainly decide by the image"
        if found.looks is False:
            return Ruling("inconclusive", f"{only}, so there is hardly a choice to judge ({ruling.reason})")
        if ruling.verdict in HOLDS:
            return Ruling("inconclusive", f"{ruling.reason}, but {only}: more images would tell whether they choose")
    return ruling
