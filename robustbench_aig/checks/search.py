"""Does the attack search well enough? Shorter and longer searches, more starts, other losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from robustbench_aig.attacks import Attack, Fgsm
from robustbench_aig.attacks.fgsm_and_pgd import GradientAttack
from robustbench_aig.attacks.objectives import TargetedDlr, build_objective
from robustbench_aig.checks.case import Case
from robustbench_aig.checks.gate_gradients import parts_of
from robustbench_aig.checks.thresholds import Limits
from robustbench_aig.checks.weak_rivals import Rivals, varied
from robustbench_aig.recipes import ClassObjective, FgsmRecipe

_LOSSES = (ClassObjective(), ClassObjective(name="margin"), ClassObjective(name="dlr"))


@dataclass(frozen=True)
class SingleStep(Rivals):
    """FGSM with the same gradients against the whole search."""

    name: ClassVar[str] = "single-step"
    title: ClassVar[str] = "A single step breaks no more"
    asks: ClassVar[str] = "Does the attack break every image that FGSM breaks?"
    advice: ClassVar[str] = (
        "Fix the attack: its step is too small or too large, its steps are too few, or its gradients mislead it."
    )
    limits: ClassVar[Limits] = Limits(0.02, 0.05)

    def rivals(self, case: Case) -> Mapping[str, Attack]:
        """FGSM."""
        gates, objective = parts_of(case)
        return {"fgsm": Fgsm(FgsmRecipe(gates=gates, objective=objective))}


@dataclass(frozen=True)
class MoreSteps(Rivals):
    """The same attack with twice as many steps."""

    name: ClassVar[str] = "more-steps"
    title: ClassVar[str] = "More steps break no more"
    asks: ClassVar[str] = "Does the attack break as much as with twice as many steps?"
    advice: ClassVar[str] = "Give the attack more steps until doubling them changes nothing."
    limits: ClassVar[Limits] = Limits(0.02, 0.05)

    def rivals(self, case: Case) -> Mapping[str, Attack] | str:
        """Twice as long."""
        attack: Any = case.attack
        steps: int | None = getattr(attack.recipe, "steps", None)
        if steps is None:
            return "the attack has no number of steps"
        return {f"{2 * steps} steps": replace(attack, recipe=attack.recipe.changed(steps=2 * steps))}


@dataclass(frozen=True)
class Restarts(Rivals):
    """Twice as many restarts: ten against five, and four against two where every step draws fresh noise anyway."""

    name: ClassVar[str] = "restarts"
    title: ClassVar[str] = "More restarts break no more"
    asks: ClassVar[str] = "Does the attack break as much from five starting points as from twice as many?"
    advice: ClassVar[str] = "Give the attack more restarts until doubling them changes nothing."
    limits: ClassVar[Limits] = Limits(0.02, 0.05)

    def believed(self, case: Case) -> Sequence[Attack]:
        """Half as many."""
        return [varied(case, restarts=_starts(case))]

    def rivals(self, case: Case) -> Mapping[str, Attack] | str:
        """Twice as many."""
        if not (isinstance(case.attack, GradientAttack) and hasattr(case.attack.recipe, "restarts")):
            return "the attack has no restarts"
        if not getattr(case.attack.recipe, "random_start", True):
            return "the attack starts at the image itself"
        return {f"{2 * _starts(case)} restarts": varied(case, restarts=2 * _starts(case))}


@dataclass(frozen=True)
class Losses(Rivals):
    """The same attack on other losses: cross-entropy, margin, DLR, and DLR towards single classes.

    These are all wrong ones, up to nine; on random networks the three likeliest, to save time.
    """

    name: ClassVar[str] = "losses"
    title: ClassVar[str] = "Other losses break no more"
    asks: ClassVar[str] = "Does the attack break what it would with another loss?"
    advice: ClassVar[str] = "Report the worst case over losses: this one alone is too weak."
    limits: ClassVar[Limits] = Limits(0.05, 0.15)

    def rivals(self, case: Case) -> Mapping[str, Attack]:
        """Those losses that the number of classes allows."""
        _, own = parts_of(case)
        found: dict[str, Attack] = {
            loss.name: varied(case, objective=loss)
            for loss in _LOSSES
            if loss != own and case.classes >= build_objective(loss).classes
        }
        if case.classes >= TargetedDlr.classes and hasattr(varied(case).recipe, "restarts"):
            targets = min(3 if case.subject.random else 9, case.classes - 1)
            found["targeted dlr"] = varied(case, objective=ClassObjective(name="targeted-dlr"), restarts=targets)
        return found


def _starts(case: Case) -> int:
    return 2 if case.subject.random else 5
