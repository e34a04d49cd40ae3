"""Which attacks have something to do on a network under a gate policy; the others would repeat a plainer one."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_aig.policy_traits import MOST_GATES, NOT_DRAWN, NOT_OURS, TOO_MANY, traits
from robustbench_aig.recipes import AttackSettings, DeployedMode, GateMode, GradientRecipe, NamedAttack
from robustbench_aig.recipes.attack_recipes import CornersRecipe, PermutedRecipe, TransferRecipe
from robustbench_aig.recipes.compute_recipes import ComputeRecipe, NoiseRecipe
from robustbench_aig.recipes.gradients import OBJECTIVES_OF_GATES, STRAIGHT_THROUGH
from robustbench_aig.recipes.provider_attacks import (
    FoolboxHopSkipJumpRecipe,
    PyautoattackRecipe,
    TorchattacksAutoAttackRecipe,
    TorchattacksSquareRecipe,
)
from robustbench_aig.records import ModelRecord

_BLIND = "no gate looks at the image"
_NO_GATES = "it has no gates"
_NOT_RANDOM = "it is deterministic"
UNKNOWN_COMPUTE = "its compute is unknown"
NOT_SOFT = "its code rounds decisions between 0 and 1, so its gates cannot be soft"


def left_out(attacks: Sequence[NamedAttack], model: ModelRecord, policy: str) -> dict[str, str]:
    """The attacks that a network under a policy is spared, each with the reason.

    One is left out where it can't work, and where it would make the images of another one that is there: the modes of
    gates on a network without, a mean over draws where nothing is drawn. That network isn't attacked less by it.
    """
    found: dict[str, str] = {}
    plainer: list[tuple[str, GradientRecipe, str]] = []
    seen: list[object] = []
    for name, recipe in attacks:
        attack = recipe.attack
        reason = _unfit(attack, model, policy)
        if reason is not None:
            found[name] = reason
        elif isinstance(attack, GradientRecipe) and (why := _no_mode(attack, model, policy)) is not None:
            plainer.append((name, attack.model_copy(update={"gates": DeployedMode()}), why))
        else:
            seen.append(attack)
    for name, stock, why in plainer:
        if stock in seen:
            found[name] = why
        seen.append(stock)
    return found


def _unfit(attack: AttackSettings, model: ModelRecord, policy: str) -> str | None:
    """Why an attack can't work; None where it can."""
    match attack:
        case ComputeRecipe():
            return _uncountable(attack, model, policy)
        case GradientRecipe():
            return _aimless(attack, model, policy)
        case PermutedRecipe() | TransferRecipe():
            return _underivable(attack, model, policy)
    if traits(policy).leaks:
        return "only our own attacks can use known gate noise"
    random = traits(policy).draws or model.restless
    if isinstance(attack, FoolboxHopSkipJumpRecipe) and random:
        return "its search may not end on a random network"
    of_draws = isinstance(attack, TorchattacksAutoAttackRecipe | PyautoattackRecipe) and attack.version == "rand"
    return _NOT_RANDOM if of_draws and not random else None


def _underivable(attack: PermutedRecipe | TransferRecipe, model: ModelRecord, policy: str) -> str | None:
    """Why images can't come from another attack; another network is attacked as it decides unasked, by argmax."""
    if isinstance(attack, PermutedRecipe):
        return _inexact(attack.of.gates, model, policy)
    if attack.source == model.name:
        return "the source would be the network itself"
    return NOT_DRAWN if attack.of.gates.mode == "exact" else None


def _inexact(mode: GateMode, model: ModelRecord, policy: str) -> str | None:
    """Why a gradient mode can't be exact, where it is to be; without gates it's the plain gradient."""
    return without_patterns(model, policy) if mode.mode == "exact" and not model.gateless else None


def without_patterns(model: ModelRecord, policy: str) -> str | None:
    """Why nobody can go through all that the gates of a network decide under a policy; None where one can."""
    if model.restless or not traits(policy).draws:
        return NOT_DRAWN
    if model.foreign is not None:
        return NOT_OURS
    return TOO_MANY if len(model.free_gates) > MOST_GATES else None


def _uncountable(attack: ComputeRecipe, model: ModelRecord, policy: str) -> str | None:
    """Why an attack on the compute can't work."""
    if model.macs_unknown is not None:
        return UNKNOWN_COMPUTE
    if not traits(policy).looks:
        return _BLIND
    if not model.soft and attack.gates.soft:
        return NOT_SOFT
    return _inexact(attack.gates, model, policy)


def _aimless(attack: GradientRecipe, model: ModelRecord, policy: str) -> str | None:
    """Why one of our gradient attacks has no aim; the logits of gates that don't look are none of the network."""
    of_gates = attack.objective.name in OBJECTIVES_OF_GATES
    if model.gateless:
        return _NO_GATES if of_gates else None
    if not model.soft and attack.gates.soft:
        return NOT_SOFT
    if not traits(policy).looks and (of_gates or attack.gates.of_logits):
        return _BLIND
    return _inexact(attack.gates, model, policy)


def _no_mode(attack: GradientRecipe, model: ModelRecord, policy: str) -> str | None:
    """Why an attack does what it would do with its gradient left as it is; None where it doesn't."""
    mode, several = attack.gates.mode, getattr(attack.gates, "draws", 1) > 1
    changed = mode != STRAIGHT_THROUGH or several
    if model.gateless:
        # Without gates a mode is the plain gradient, over as many draws where there is something to draw.
        return _NO_GATES if changed and mode != "evolution" and not (several and model.restless) else None
    if mode == policy and not (several and model.restless):
        return "its deployed gates already decide in this way"
    noisy = mode == "frozen-noise" or (mode == STRAIGHT_THROUGH and changed)
    return _NOT_RANDOM if noisy and not (traits(policy).draws or model.restless) else None


def needs_gradient(attack: AttackSettings) -> bool:
    """Whether an attack works by the gradient of the network that it attacks."""
    match attack:
        case GradientRecipe():
            return attack.gates.mode != "evolution"
        case CornersRecipe() | NoiseRecipe() | TransferRecipe():
            return False
        case FoolboxHopSkipJumpRecipe() | TorchattacksSquareRecipe():
            return False
        case _:
            return True
