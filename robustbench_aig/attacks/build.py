"""From a recipe to a configured attack."""

from __future__ import annotations

from importlib.metadata import version

from robustbench_aig.attacks.foolbox import FoolboxFgsm, FoolboxPgd
from robustbench_aig.attacks.gradient import Fgsm, Pgd
from robustbench_aig.attacks.noise import Corners
from robustbench_aig.attacks.protocol import Attack
from robustbench_aig.attacks.torchattacks import TorchattacksFgsm, TorchattacksPgd
from robustbench_aig.recipes import CornersRecipe, FgsmRecipe, PgdRecipe

_FGSM: dict[str, type[Attack]] = {"aigrob": Fgsm, "torchattacks": TorchattacksFgsm, "foolbox": FoolboxFgsm}
_PGD: dict[str, type[Pgd]] = {
    "aigrob": Pgd,
    "torchattacks": TorchattacksPgd,
    "foolbox": FoolboxPgd,
}


def build_attack(recipe: FgsmRecipe | PgdRecipe | CornersRecipe) -> Attack:
    """The attack that an `[attack]` section configures."""
    if isinstance(recipe, FgsmRecipe):
        return _FGSM[recipe.provider]()
    if isinstance(recipe, PgdRecipe):
        return _PGD[recipe.provider](steps=recipe.steps, step=recipe.step, random_start=recipe.random_start)
    return Corners()


def provider_version(provider: str) -> str:
    """The installed version of whose code runs."""
    return version("robustbench_aig" if provider == "aigrob" else provider)
