"""AutoAttack as its authors compute it, in the form of the package pyautoattack."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from robustbench_aig.attacks.providers.provider_attack import (
    Finite,
    ProviderAttack,
    fresh_seed,
    load,
    quiet,
    scale_free,
)
from robustbench_aig.attacks.providers.torchattacks import NAMES, refuse_square
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import provider_attacks as recipes
from robustbench_aig.threat import Norm, Shape, Threat


class Pyautoattack(ProviderAttack[recipes.PyautoattackRecipe]):
    """`pyautoattack.AutoAttack` without its saved state, which can't be resumed.

    What "standard" and "rand" are, what they do on few classes and what they are worth on a random network is told at
    `TorchattacksAutoAttack`. What its own checks warn of isn't passed on: no one but a reader could act on it.
    """

    provider: ClassVar[str] = "pyautoattack"
    package: ClassVar[str] = "pyautoattack"
    install: ClassVar[str] = 'pip install "robustbench-aig[autoattack]"'

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """As Square, where it is a part."""
        if self.recipe.version == "standard":
            refuse_square(shape, norm)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The first image found that is misclassified; the clean one where none is."""
        classes = self.check(model, x, threat)
        with quiet():
            suite = load("pyautoattack").AutoAttack(
                Finite(model),
                norm=NAMES[threat.norm],
                eps=threat.value,
                version=self.recipe.version,
                seed=fresh_seed(),
                device=x.device,
            )
            draws = 20 if self.recipe.version == "rand" else 1
            suite.apgd.model = scale_free(suite.model, dlr=False, draws=draws)
            suite.apgd_targeted.model = scale_free(suite.model, dlr=True)
            suite.attacks_to_run = _parts(self.recipe.version, classes)
            suite.apgd_targeted.n_target_classes = suite.fab.n_target_classes = min(9, classes - 1)
            suite.square.n_queries = self.recipe.queries
            adv: Tensor = suite.run_standard_evaluation(x, y, batch_size=len(x))[0]
        return adv.detach()


def _parts(version: str, classes: int) -> list[str]:
    dlr = ["apgd-dlr"] if classes > 2 else []
    if version == "rand":
        return ["apgd-ce", *dlr]
    return ["apgd-ce", *(["apgd-t"] if classes > 3 else dlr), "fab-t", "square"]
