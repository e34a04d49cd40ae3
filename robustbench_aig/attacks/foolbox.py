"""FGSM and PGD as foolbox computes them."""

from __future__ import annotations

import importlib
import os
import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from torch import Tensor, nn

from robustbench_aig.attacks.gradient import Pgd
from robustbench_aig.attacks.protocol import Attack
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Threat


def _foolbox() -> ModuleType:
    # foolbox imports GitPython, which fails where there is no git unless it is told to keep quiet.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports a scipy namespace that moved
        return importlib.import_module("foolbox")


@dataclass(frozen=True)
class FoolboxFgsm(Attack):
    """`foolbox.attacks.FGSM` or `foolbox.attacks.FGM` (L2)."""

    provider: ClassVar[str] = "foolbox"
    own_noise: ClassVar[bool] = False

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """One step without a random start."""
        foolbox = _foolbox()
        algorithm = foolbox.attacks.FGSM if threat.norm == "linf" else foolbox.attacks.FGM
        return _run(foolbox, algorithm(random_start=False), model, x, y, threat)


@dataclass(frozen=True)
class FoolboxPgd(Pgd):
    """`foolbox.attacks.LinfPGD` or `foolbox.attacks.L2PGD`; attributes as for our own `Pgd`."""

    provider: ClassVar[str] = "foolbox"
    own_noise: ClassVar[bool] = False

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The clipped result; foolbox's own success flag is not believed."""
        foolbox = _foolbox()
        algorithm = foolbox.attacks.LinfPGD if threat.norm == "linf" else foolbox.attacks.L2PGD
        attack = algorithm(abs_stepsize=self.step * threat.value, steps=self.steps, random_start=self.random_start)
        return _run(foolbox, attack, model, x, y, threat)


def _run(foolbox: ModuleType, attack: object, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    # Without a device foolbox would move the model to the first GPU.
    view = foolbox.PyTorchModel(model, bounds=(0, 1), device=x.device)
    _, clipped, _ = attack(view, x, foolbox.criteria.Misclassification(y), epsilons=threat.value)  # type: ignore[operator]
    images: Tensor = clipped
    return images
