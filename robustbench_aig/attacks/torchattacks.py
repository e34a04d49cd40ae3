"""FGSM and PGD as torchattacks computes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from robustbench_aig.attacks.gradient import Pgd
from robustbench_aig.attacks.protocol import Attack
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Norm, Threat


@dataclass(frozen=True)
class TorchattacksFgsm(Attack):
    """`torchattacks.FGSM`."""

    provider: ClassVar[str] = "torchattacks"
    own_noise: ClassVar[bool] = False
    norms: tuple[Norm, ...] = ("linf",)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """One step; torchattacks has no L2 form."""
        import torchattacks  # noqa: PLC0415 - slow to import, and only these attacks need it

        adv: Tensor = torchattacks.FGSM(model, eps=threat.value)(x, y)
        return adv


@dataclass(frozen=True)
class TorchattacksPgd(Pgd):
    """`torchattacks.PGD` or `torchattacks.PGDL2`; attributes as for our own `Pgd`."""

    provider: ClassVar[str] = "torchattacks"
    own_noise: ClassVar[bool] = False

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """A new attack object per call: after an exception torchattacks keeps a flipped state."""
        import torchattacks  # noqa: PLC0415 - as above

        algorithm = torchattacks.PGD if threat.norm == "linf" else torchattacks.PGDL2
        attack = algorithm(
            model,
            eps=threat.value,
            alpha=self.step * threat.value,
            steps=self.steps,
            random_start=self.random_start,
        )
        adv: Tensor = attack(x, y)
        return adv
