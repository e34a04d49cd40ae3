"""From a recipe to a configured attack."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from torch import nn

from robustbench_aig import __version__
from robustbench_aig.attacks.apgd import Apgd
from robustbench_aig.attacks.attack_interface import Attack, OwnAttack
from robustbench_aig.attacks.compute_attacks import ComputeAttack
from robustbench_aig.attacks.fgsm_and_pgd import Fgsm, Pgd
from robustbench_aig.attacks.noise import Corners, GreyImage, NoiseImage, Permuted, UniformNoise
from robustbench_aig.attacks.provider_registry import build_provider_attack
from robustbench_aig.attacks.transfer import Transfer
from robustbench_aig.errors import InputError
from robustbench_aig.gating import Policy
from robustbench_aig.recipes import ApgdRecipe, AttackSettings, CornersRecipe, FgsmRecipe, PgdRecipe
from robustbench_aig.recipes.attack_recipes import PermutedRecipe, TransferRecipe
from robustbench_aig.recipes.compute_recipes import ComputeRecipe, NoiseRecipe

_CONTROLS: dict[str, type[OwnAttack]] = {
    "corners": Corners,
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
        case CornersRecipe() | NoiseRecipe():
            built = _CONTROLS[recipe.algorithm]()
        case PermutedRecipe():
            built = Permuted(build_attack(recipe.of))
        case TransferRecipe():
            if recipe.source is None or sources is None:
                raise InputError("transfer needs another network: name it, like transfer:source=RUN")
            built = Transfer(build_attack(recipe.of), *sources(recipe.source))
        case ComputeRecipe():
            built = ComputeAttack(recipe)
        case FgsmRecipe(provider="aigrob"):
            built = Fgsm(recipe)
        case PgdRecipe(provider="aigrob"):
            built = Pgd(recipe)
        case ApgdRecipe():
            built = Apgd(recipe)
        case _:
            built = build_provider_attack(recipe)
    return built


def provider_version(provider: str) -> str:
    """The version of whose code runs."""
    return __version__ if provider == "aigrob" else version(provider)
