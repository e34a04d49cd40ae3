"""From a recipe to an attack of another provider."""

from __future__ import annotations

from typing import Any

from robustbench_aig.attacks.attack_interface import Attack
from robustbench_aig.attacks.providers import adv_lib, foolbox, pyautoattack, torchattacks
from robustbench_aig.attacks.providers.provider_attack import ProviderAttack, require
from robustbench_aig.recipes.attack_recipes import FgsmRecipe, PgdRecipe
from robustbench_aig.recipes.provider_attacks import ProviderSettings

_ATTACKS: dict[tuple[str, str], type[ProviderAttack[Any]]] = {
    ("torchattacks", "fgsm"): torchattacks.TorchattacksFgsm,
    ("torchattacks", "pgd"): torchattacks.TorchattacksPgd,
    ("torchattacks", "torchattacks-apgd"): torchattacks.TorchattacksApgd,
    ("torchattacks", "torchattacks-apgd-t"): torchattacks.TorchattacksApgdTargeted,
    ("torchattacks", "torchattacks-fab"): torchattacks.TorchattacksFab,
    ("torchattacks", "torchattacks-square"): torchattacks.TorchattacksSquare,
    ("torchattacks", "torchattacks-autoattack"): torchattacks.TorchattacksAutoAttack,
    ("torchattacks", "torchattacks-cw"): torchattacks.TorchattacksCw,
    ("foolbox", "fgsm"): foolbox.FoolboxFgsm,
    ("foolbox", "pgd"): foolbox.FoolboxPgd,
    ("foolbox", "foolbox-fmn"): foolbox.FoolboxFmn,
    ("foolbox", "foolbox-cw"): foolbox.FoolboxCw,
    ("foolbox", "foolbox-ddn"): foolbox.FoolboxDdn,
    ("foolbox", "foolbox-hopskipjump"): foolbox.FoolboxHopSkipJump,
    ("pyautoattack", "pyautoattack"): pyautoattack.Pyautoattack,
    ("adv-lib", "adv-lib-apgd"): adv_lib.AdvLibApgd,
    ("adv-lib", "adv-lib-apgd-t"): adv_lib.AdvLibApgdTargeted,
    ("adv-lib", "adv-lib-fab"): adv_lib.AdvLibFab,
    ("adv-lib", "adv-lib-fmn"): adv_lib.AdvLibFmn,
    ("adv-lib", "adv-lib-ddn"): adv_lib.AdvLibDdn,
}


def build_provider_attack(recipe: ProviderSettings | FgsmRecipe | PgdRecipe) -> Attack:
    """The attack that an `[attack]` section configures.

    Raises:
        InputError: its provider isn't installed.
    """
    attack = _ATTACKS[recipe.provider, recipe.algorithm]
    require(attack)
    return attack(recipe)
