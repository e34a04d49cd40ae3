"""From a recipe to a configured attack."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from torch import nn

from robustbench_aig import __version__
from robustbench_aig.attacks import compute_objectives, gradient_modes, objectives
from robustbench_aig.attacks.apgd import Apgd
from robustbench_aig.attacks.compute_attacks import ComputeAttack
from robustbench_aig.attacks.gradient import Fgsm, Pgd
from robustbench_aig.attacks.gradient_modes import Mode
from robustbench_aig.attacks.noise import Control, Corners, GreyImage, NoiseImage, Permuted, UniformNoise
from robustbench_aig.attacks.protocol import Attack
from robustbench_aig.attacks.provider_registry import build_provider_attack
from robustbench_aig.attacks.transfer import Transfer
from robustbench_aig.errors import InputError
from robustbench_aig.gating import Policy
from robustbench_aig.recipes import (
    ApgdRecipe,
    AttackSettings,
    CornersRecipe,
    FgsmRecipe,
    GateMode,
    Objective,
    PgdRecipe,
)
from robustbench_aig.recipes.attacks import PermutedRecipe, TransferRecipe
from robustbench_aig.recipes.compute import ComputeRecipe, NoiseRecipe

_MODES: dict[str, type[Mode]] = {
    "straight-through": gradient_modes.StraightThrough,
    "detached": gradient_modes.Detached,
    "frozen-noise": gradient_modes.FrozenNoise,
    "frozen": gradient_modes.FrozenClean,
    "open": gradient_modes.AllOpen,
    "expected": gradient_modes.SoftExpected,
    "bpda": gradient_modes.Bpda,
    "leaded": gradient_modes.Leaded,
    "smoothed": gradient_modes.SmoothedLogits,
    "score-function": gradient_modes.ScoreFunction,
    "evolution": gradient_modes.Evolution,
    "exact": gradient_modes.Exact,
}
_OBJECTIVES: dict[str, type[objectives.Objective]] = {
    "cross-entropy": objectives.CrossEntropy,
    "margin": objectives.Margin,
    "dlr": objectives.Dlr,
    "targeted-dlr": objectives.TargetedDlr,
    "zero-one": objectives.ZeroOne,
    "gate-flip": objectives.GateFlip,
    "joint": objectives.Joint,
    "other-path": objectives.OtherPath,
}
_COMPUTE: dict[str, type[compute_objectives.ComputeObjective]] = {
    "expected": compute_objectives.ExpectedCompute,
    "ilfo": compute_objectives.Hinge,
    "gradauto": compute_objectives.Hinge,
    "gradmdm": compute_objectives.Power,
}
_NOISE: dict[str, type[Control]] = {
    "uniform-noise": UniformNoise,
    "grey-image": GreyImage,
    "noise-image": NoiseImage,
}


Sources = Callable[[str], tuple[nn.Module, Policy]]
"""From the name of a network to the network and how its gates decide, for attacks that transfer."""


def build_attack(recipe: AttackSettings, sources: Sources | None = None) -> Attack:
    """The attack that an `[attack]` section configures.

    Args:
        recipe: the section.
        sources: other networks by name.
    """
    built: Attack
    match recipe:
        case CornersRecipe():
            built = Corners()
        case NoiseRecipe():
            built = _NOISE[recipe.algorithm]()
        case PermutedRecipe():
            built = Permuted(build_attack(recipe.of))
        case TransferRecipe():
            if recipe.source is None or sources is None:
                raise InputError("transfer needs another network: name it, like transfer:source=RUN")
            built = Transfer(build_attack(recipe.of), *sources(recipe.source))
        case ComputeRecipe():
            built = build_compute(recipe)
        case FgsmRecipe(provider="aigrob") | PgdRecipe(provider="aigrob") | ApgdRecipe():
            algorithm = {"fgsm": Fgsm, "pgd": Pgd, "apgd": Apgd}[recipe.algorithm]
            own = recipe.model_dump(exclude={"algorithm", "provider", "gates", "objective"})
            built = algorithm(mode=build_mode(recipe.gates), objective=build_objective(recipe.objective), **own)
        case _:
            built = build_provider_attack(recipe)
    return built


def build_compute(recipe: ComputeRecipe) -> ComputeAttack:
    """The attack on the compute that an `[attack]` section configures."""
    mode, aim = build_mode(recipe.gates), recipe.objective
    objective = _COMPUTE[aim.name](direction=recipe.direction, **aim.model_dump(exclude={"name"}))
    if aim.name == "gradauto":
        mode = compute_objectives.Projected(mode, compute_objectives.Held(recipe.direction))
    own = recipe.model_dump(exclude={"algorithm", "provider", "direction", "gates", "objective"})
    return ComputeAttack(mode=mode, objective=objective, **own)


def build_mode(recipe: GateMode) -> Mode:
    """The gradient mode that an `[attack.gates]` section configures."""
    return _MODES[recipe.mode](**recipe.model_dump(exclude={"mode"}))


def build_objective(recipe: Objective) -> objectives.Objective:
    """The objective that an `[attack.objective]` section configures."""
    return _OBJECTIVES[recipe.name](**recipe.model_dump(exclude={"name"}))


def provider_version(provider: str) -> str:
    """The version of whose code runs."""
    return __version__ if provider == "aigrob" else version(provider)
