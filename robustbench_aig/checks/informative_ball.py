"""The ball in which checks that compare attacks tell most."""

from __future__ import annotations

from fractions import Fraction

from robustbench_aig.attacks import Pgd
from robustbench_aig.checks.case import Case
from robustbench_aig.checks.gate_gradients import parts_of
from robustbench_aig.errors import AttackError
from robustbench_aig.recipes import PgdRecipe
from robustbench_aig.threat import Threat


def informative(case: Case, images: int = 48) -> Threat:
    """The ball in which ten steps of PGD leave about half of the images: where none or all hold, attacks look alike.

    Args:
        case: its own ball says the norm, and is returned where its network can't be attacked at all.
        images: how many to try it on.
    """
    gates, objective = parts_of(case)
    attack = Pgd(PgdRecipe(steps=10, step=0.25, gates=gates, objective=objective))
    sample = case.sample(images)
    best, nearest = case.threat, Fraction(2)
    for text in case.threat.ball.radii:
        threat = Threat.parse(text, case.threat.norm)
        try:
            lost = int(case.outcome(attack, sample, threat).lost.sum())
        except AttackError:
            return case.threat
        apart = abs(Fraction(lost, max(len(sample), 1)) - Fraction(1, 2))
        if apart < nearest:
            best, nearest = threat, apart
        if 2 * lost > len(sample):
            break
    return best
