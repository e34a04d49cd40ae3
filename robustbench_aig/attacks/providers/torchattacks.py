"""Attacks as torchattacks computes them.

An attack object serves one call: after an exception torchattacks keeps a flipped state. All but FGSM, PGD and CW switch
gradients on where they need them, so they run without: their results would carry the graph of every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from robustbench_aig.attacks.providers.provider_attack import (
    Finite,
    ProviderAttack,
    ScaleFree,
    fresh_seed,
    load,
    quiet,
    scale_free,
    within,
)
from robustbench_aig.errors import InputError
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Norm, Shape, Threat

NAMES: dict[Norm, str] = {"linf": "Linf", "l2": "L2"}


class _Torchattacks(ProviderAttack):
    provider: ClassVar[str] = "torchattacks"
    package: ClassVar[str] = "torchattacks"
    install: ClassVar[str] = "pip install torchattacks==3.5.1"


@dataclass(frozen=True)
class TorchattacksFgsm(_Torchattacks):
    """`torchattacks.FGSM`."""

    norms: tuple[Norm, ...] = ("linf",)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """One step; torchattacks has no L2 form."""
        return _run(load("torchattacks").FGSM(model, eps=threat.value), x, y)


@dataclass(frozen=True)
class TorchattacksPgd(_Torchattacks):
    """`torchattacks.PGD` or `torchattacks.PGDL2`; attributes as for our own `Pgd`."""

    steps: int = 20
    step: float = 0.125
    random_start: bool = True

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The last iterate."""
        algorithm = getattr(load("torchattacks"), {"linf": "PGD", "l2": "PGDL2"}[threat.norm])
        alpha = self.step * threat.value
        attack = algorithm(
            ScaleFree(model, "gradients"),
            eps=threat.value,
            alpha=alpha,
            steps=self.steps,
            random_start=self.random_start,
        )
        return _run(attack, x, y)


@dataclass(frozen=True)
class TorchattacksApgd(_Torchattacks):
    """`torchattacks.APGD`, by default with AutoAttack's budget instead of its own of 10 steps.

    Attributes:
        loss: "ce" or "dlr", which needs three classes.
        steps: number of gradient steps.
        restarts: number of random starts for an image that resists.
        draws: passes whose gradients are averaged at every step.
    """

    loss: Literal["ce", "dlr"] = "ce"
    steps: int = 100
    restarts: int = 1
    draws: int = 1

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """Two classes have no DLR loss."""
        if self.loss == "dlr" and classes < 3:
            raise InputError(f"the DLR loss needs 3 classes, this network has {classes}: use APGD on 'ce'")

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The first image found that is misclassified; the clean one where none is."""
        self.check(model, x, threat)
        return _search(self.made(load("torchattacks"), Finite(model), threat), x, y)

    def made(self, torchattacks: ModuleType, model: nn.Module, threat: Threat) -> Any:  # noqa: ANN401 - it has no types
        """The attack object."""
        return torchattacks.APGD(
            scale_free(model, dlr=self.loss == "dlr", draws=self.draws),
            **_ball(threat),
            loss=self.loss,
            steps=self.steps,
            n_restarts=self.restarts,
            eot_iter=self.draws,
        )


@dataclass(frozen=True)
class TorchattacksApgdTargeted(_Torchattacks):
    """`torchattacks.APGDT`: the targeted DLR loss, one wrong class after the other.

    In L2 torchattacks gives all images the step size of the first one that resists.

    Attributes:
        steps: number of gradient steps for each class.
        restarts: number of random starts for each class.
        targets: how many classes, the likeliest first.
    """

    steps: int = 100
    restarts: int = 1
    targets: int = 9

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """Its loss compares four logits."""
        if classes < 4:
            raise InputError(f"the targeted DLR loss needs 4 classes, this network has {classes}: use APGD or FAB")

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `TorchattacksApgd`."""
        classes = self.check(model, x, threat)
        return _search(self.made(load("torchattacks"), Finite(model), threat, classes), x, y)

    def made(self, torchattacks: ModuleType, model: nn.Module, threat: Threat, classes: int) -> Any:  # noqa: ANN401
        """The attack object; what torchattacks calls the number of classes is that of its targets and one."""
        return torchattacks.APGDT(
            scale_free(model, dlr=True),
            **_ball(threat),
            steps=self.steps,
            n_restarts=self.restarts,
            n_classes=min(self.targets + 1, classes),
        )


@dataclass(frozen=True)
class TorchattacksFab(_Torchattacks):
    """`torchattacks.FAB`, by default with AutoAttack's budget instead of its own of 10 steps.

    Attributes:
        steps: number of steps.
        restarts: number of starts, all but the first random.
        targets: how many classes it aims at, the likeliest first; 0 for the nearest of all at every step.
    """

    steps: int = 100
    restarts: int = 1
    targets: int = 0

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The nearest misclassified image, if it lies in the ball; otherwise the clean one."""
        classes = self.check(model, x, threat)
        return _search(self.made(load("torchattacks"), Finite(model), threat, classes), x, y)

    def made(self, torchattacks: ModuleType, model: nn.Module, threat: Threat, classes: int) -> Any:  # noqa: ANN401
        """The attack object."""
        return torchattacks.FAB(
            ScaleFree(model, "logits"),
            **_ball(threat),
            steps=self.steps,
            n_restarts=self.restarts,
            multi_targeted=self.targets > 0,
            n_classes=min(self.targets + 1, classes),
        )


@dataclass(frozen=True)
class TorchattacksSquare(_Torchattacks):
    """`torchattacks.Square`: random search that sees logits but no gradients.

    Attributes:
        queries: number of images asked for, at most, for each restart.
        restarts: number of random starts.
        stretched: squares shrink over `queries`; if not, over 10,000, as in AutoAttack.
    """

    queries: int = 5000
    restarts: int = 1
    stretched: bool = True

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """In L2 its first pattern tiles the image, which doesn't work out at every size."""
        _, height, width = shape
        if norm == "l2" and not tiles(height, width):
            raise InputError(
                f"the Square attack can't tile images of {height}×{width} pixels in l2: use another attack"
            )

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `TorchattacksApgd`."""
        self.check(model, x, threat)
        return _search(self.made(load("torchattacks"), Finite(model), threat, x), x, y)

    def made(self, torchattacks: ModuleType, model: nn.Module, threat: Threat, x: Tensor) -> Any:  # noqa: ANN401
        """The attack object for images like `x`."""
        return torchattacks.Square(
            model,
            **_ball(threat),
            n_queries=self.queries,
            n_restarts=self.restarts,
            resc_schedule=self.stretched,
            p_init=_largest_square(x.shape[2], x.shape[3]),
        )


def _largest_square(height: int, width: int) -> float:
    """The published share 0.8 of an image that the first squares cover, less where they wouldn't fit."""
    return 0.8 if height == width else min(0.8, (min(height, width) - 1) ** 2 / (height * width))


def tiles(height: int, width: int) -> bool:
    """Whether the pattern of tiles that starts `margin` from the edge fits: one that sticks out is a crash."""
    side = height // 5
    margin = (height - 5 * side) // 2
    return side == 1 or (side > 1 and all(size % side >= margin for size in (height, width)))


@dataclass(frozen=True)
class TorchattacksAutoAttack(_Torchattacks):
    """AutoAttack of torchattacks' parts, one after the other on the images that still resist.

    "standard" is APGD on cross-entropy, targeted APGD, targeted FAB and Square; "rand", for random networks, APGD on
    cross-entropy and on DLR with gradients over 20 draws. Budgets are those of the paper and of its authors' code:
    `torchattacks.AutoAttack` itself takes 10 steps instead of 100. Three classes have no targeted DLR loss, so
    untargeted DLR stands in for it; two have none at all, so both versions go without.

    On a random network "standard" takes a lucky draw for a success, and so, less often, does "rand": only fresh draws
    say what their images are worth.

    Attributes:
        version: "standard" or "rand".
        steps: gradient steps of each part.
        queries: of Square.
    """

    version: Literal["standard", "rand"] = "standard"
    steps: int = 100
    queries: int = 5000

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """As Square, where it is a part."""
        if self.version == "standard":
            TorchattacksSquare().refuse(classes, shape, norm)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `TorchattacksApgd`."""
        classes = self.check(model, x, threat)
        torchattacks = load("torchattacks")
        parts = self._parts(torchattacks, Finite(model), threat, x, classes)
        return _search(parts[0] if len(parts) == 1 else _in_turn(torchattacks, parts), x, y)

    def _parts(self, torchattacks: ModuleType, model: nn.Module, threat: Threat, x: Tensor, classes: int) -> list[Any]:
        draws = 20 if self.version == "rand" else 1
        parts = [TorchattacksApgd("ce", self.steps, draws=draws).made(torchattacks, model, threat)]
        if classes > 3 and self.version == "standard":
            parts.append(TorchattacksApgdTargeted(self.steps).made(torchattacks, model, threat, classes))
        elif classes > 2:
            parts.append(TorchattacksApgd("dlr", self.steps, draws=draws).made(torchattacks, model, threat))
        if self.version == "standard":
            parts.append(TorchattacksFab(self.steps, targets=9).made(torchattacks, model, threat, classes))
            square = TorchattacksSquare(self.queries, stretched=False)
            parts.append(square.made(torchattacks, model, threat, x))
        return parts


def _in_turn(torchattacks: ModuleType, parts: list[Any]) -> Any:  # noqa: ANN401 - as above
    """One attack after the other; torchattacks asks that all be about one network, and each here sees it in its way."""
    ways = [part.model for part in parts]
    for part in parts:
        part.model = ways[-1]
    suite = torchattacks.MultiAttack(parts)
    for part, way in zip(parts, ways, strict=True):
        part.model = way
    return suite


@dataclass(frozen=True)
class TorchattacksCw(_Torchattacks):
    """`torchattacks.CW`: Carlini and Wagner's attack at one constant, without their search for it.

    Attributes:
        constant: weight of the margin against the squared distance.
        confidence: margin at which an image counts as misclassified.
        steps: number of Adam's steps.
        learning_rate: of Adam.
    """

    constant: float = 1.0
    confidence: float = 0.0
    steps: int = 50
    learning_rate: float = 0.01
    norms: tuple[Norm, ...] = ("l2",)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The nearest misclassified image, if it lies in the ball; otherwise the clean one."""
        attack = load("torchattacks").CW(
            _Above(Finite(model)), c=self.constant, kappa=self.confidence, steps=self.steps, lr=self.learning_rate
        )
        # A pixel at 0 or 1 lies at infinity, from where no step leads back; the paper's code moves it the same way.
        return within(_run(attack, 0.5 + 0.999999 * (x - 0.5), y), x, threat)


class _Above(nn.Module):
    """Logits from 0 upwards: torchattacks' margin takes a masked 0 for the highest where all are below."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits - logits.detach().amin(1, keepdim=True)


def _ball(threat: Threat) -> dict[str, Any]:
    return {"norm": NAMES[threat.norm], "eps": threat.value, "seed": fresh_seed()}


def _search(attack: Any, x: Tensor, y: Tensor) -> Tensor:  # noqa: ANN401 - torchattacks has no types
    with torch.no_grad():
        return _run(attack, x, y)


def _run(attack: Any, x: Tensor, y: Tensor) -> Tensor:  # noqa: ANN401 - as above
    with quiet():
        attack.set_device(x.device)
        adv: Tensor = attack(x, y)
    return adv.detach()
