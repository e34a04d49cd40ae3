"""From a recipe to a configured attack."""

from __future__ import annotations

from importlib.metadata import version

from robustbench_aig.attacks import modes, objectives
from robustbench_aig.attacks.apgd import Apgd
from robustbench_aig.attacks.foolbox import FoolboxFgsm, FoolboxPgd
from robustbench_aig.attacks.gradient import Fgsm, Pgd
from robustbench_aig.attacks.modes import Mode
from robustbench_aig.attacks.noise import Corners
from robustbench_aig.attacks.protocol import Attack
from robustbench_aig.attacks.torchattacks import TorchattacksFgsm, TorchattacksPgd
from robustbench_aig.recipes import (
    ApgdRecipe,
    AttackSettings,
    CornersRecipe,
    FgsmRecipe,
    GateMode,
    Objective,
    PgdRecipe,
)

_MODES: dict[str, type[Mode]] = {
    "straight-through": modes.StraightThrough,
    "detached": modes.Detached,
    "frozen-noise": modes.FrozenNoise,
    "frozen": modes.FrozenClean,
    "open": modes.AllOpen,
    "expected": modes.SoftExpected,
    "bpda": modes.Bpda,
    "leaded": modes.Leaded,
    "smoothed": modes.SmoothedLogits,
    "score-function": modes.ScoreFunction,
    "evolution": modes.Evolution,
}
_OBJECTIVES: dict[str, type[objectives.Objective]] = {
    "cross-entropy": objectives.CrossEntropy,
    "margin": objectives.Margin,
    "dlr": objectives.Dlr,
    "targeted-dlr": objectives.TargetedDlr,
    "gate-flip": objectives.GateFlip,
    "joint": objectives.Joint,
    "other-path": objectives.OtherPath,
}


def build_attack(recipe: AttackSettings) -> Attack:
    """The attack that an `[attack]` section configures."""
    match recipe:
        case CornersRecipe():
            return Corners()
        case FgsmRecipe(provider="torchattacks"):
            return TorchattacksFgsm()
        case FgsmRecipe(provider="foolbox"):
            return FoolboxFgsm()
        case PgdRecipe(provider="torchattacks"):
            return TorchattacksPgd(steps=recipe.steps, step=recipe.step, random_start=recipe.random_start)
        case PgdRecipe(provider="foolbox"):
            return FoolboxPgd(steps=recipe.steps, step=recipe.step, random_start=recipe.random_start)
        case FgsmRecipe() | PgdRecipe() | ApgdRecipe():
            algorithm = {"fgsm": Fgsm, "pgd": Pgd, "apgd": Apgd}[recipe.algorithm]
            own = recipe.model_dump(exclude={"algorithm", "provider", "gates", "objective"})
            built: Attack = algorithm(mode=build_mode(recipe.gates), objective=build_objective(recipe.objective), **own)
            return built


def build_mode(recipe: GateMode) -> Mode:
    """The gradient mode that an `[attack.gates]` section configures."""
    return _MODES[recipe.mode](**recipe.model_dump(exclude={"mode"}))


def build_objective(recipe: Objective) -> objectives.Objective:
    """The objective that an `[attack.objective]` section configures."""
    return _OBJECTIVES[recipe.name](**recipe.model_dump(exclude={"name"}))


def provider_version(provider: str) -> str:
    """The installed version of whose code runs."""
    return version("robustbench_aig" if provider == "aigrob" else provider)
