"""Which attacks have something to do on a network under a gate policy; the others would repeat a plainer one."""

from __future__ import annotations

from robustbench_aig.gating import DEPLOYABLE
from robustbench_aig.recipes import AttackRecipe, Family, GradientRecipe
from robustbench_aig.recipes.attacks import TransferRecipe
from robustbench_aig.recipes.compute import ComputeRecipe
from robustbench_aig.recipes.foreign_attacks import FoolboxHopSkipJumpRecipe
from robustbench_aig.records import ModelRecord

_STOCK = "straight-through"
_LOOKING = {"argmax", "sampled", "expected"}
"""Policies under which gates look at the image."""
_BLIND = "no gate looks at the image"
_OF_GATES = {"gate-flip", "joint", "other-path"}
_OF_LOGITS = {"bpda", "leaded", "smoothed", "expected", "score-function"}
"""Modes that change something only where a gate's logits matter."""


def unsuited(recipe: AttackRecipe, model: ModelRecord, policy: str) -> str | None:
    """Why an attack is left out for a network under a policy; None where it isn't.

    An attack is left out where it can't work, and where it would be another one under a new name: the modes of gates on
    a network without, a mean over draws where nothing is drawn. That network isn't attacked less by it. Where gates
    don't look at the image, a gradient through their logits is none of the network.
    """
    attack = recipe.attack
    if isinstance(attack, ComputeRecipe):
        return None if policy in _LOOKING else _BLIND
    if isinstance(attack, GradientRecipe):
        return _repeats(attack, model.family, policy)
    if isinstance(attack, TransferRecipe):
        return "the images would come from the network itself" if attack.source == model.name else None
    random = model.family != "plain" and DEPLOYABLE[policy].random
    if isinstance(attack, FoolboxHopSkipJumpRecipe) and random:
        return "its search may not end where the answer is random"
    return None


def _repeats(attack: GradientRecipe, family: Family, policy: str) -> str | None:
    """Why one of our gradient attacks would be a plainer one."""
    mode, objective = attack.gates.mode, attack.objective.name
    changed = mode != _STOCK or getattr(attack.gates, "draws", 1) > 1
    if family == "plain":
        return "there are no gates" if objective in _OF_GATES or (changed and mode != "evolution") else None
    if policy not in _LOOKING and (objective in _OF_GATES or mode in _OF_LOGITS):
        return _BLIND
    if mode == policy:
        return "gates are so when deployed, too"
    noisy = mode == "frozen-noise" or (mode == _STOCK and changed)
    return "nothing is random" if noisy and not DEPLOYABLE[policy].random else None
