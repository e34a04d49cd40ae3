"""Attacks as torchattacks computes them.

An attack object serves one call: after an exception torchattacks keeps a flipped state. All but FGSM, PGD and CW switch
gradients on where they need them, so they run without: their results would carry the graph of every step.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robustbench_aig.attacks.providers.provider_attack import (
    Finite,
    ProviderAttack,
    R,
    ScaleFree,
    fresh_seed,
    load,
    quiet,
    scale_free,
    within,
)
from robustbench_aig.errors import InputError
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import FgsmRecipe, PgdRecipe
from robustbench_aig.recipes import provider_attacks as recipes
from robustbench_aig.threat import Norm, Shape, Threat

NAMES: dict[Norm, str] = {"linf": "Linf", "l2": "L2"}


class _Torchattacks(ProviderAttack[R]):
    provider: ClassVar[str] = "torchattacks"
    package: ClassVar[str] = "torchattacks"
    install: ClassVar[str] = "pip install torchattacks==3.5.1"


class TorchattacksFgsm(_Torchattacks[FgsmRecipe]):
    """`torchattacks.FGSM`."""

    norms: ClassVar[tuple[Norm, ...]] = ("linf",)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """One step; torchattacks has no L2 form."""
        return _run(load("torchattacks").FGSM(model, eps=threat.value), x, y)


class TorchattacksPgd(_Torchattacks[PgdRecipe]):
    """`torchattacks.PGD` or `torchattacks.PGDL2`; attributes as for our own `Pgd`."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The last iterate."""
        algorithm = getattr(load("torchattacks"), {"linf": "PGD", "l2": "PGDL2"}[threat.norm])
        alpha = self.recipe.step * threat.value
        attack = algorithm(
            ScaleFree(model, "gradients"),
            eps=threat.value,
            alpha=alpha,
            steps=self.recipe.steps,
            random_start=self.recipe.random_start,
        )
        return _run(attack, x, y)


class TorchattacksApgd(_Torchattacks[recipes.TorchattacksApgdRecipe]):
    """`torchattacks.APGD`, by default with AutoAttack's budget instead of its own of 10 steps."""

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """Two classes have no DLR loss."""
        if self.recipe.loss == "dlr" and classes < 3:
            raise InputError(f"the DLR loss needs 3 classes, this network has {classes}: use APGD on 'ce'")

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The first image found that is misclassified; the clean one where none is."""
        self.check(model, x, threat)
        return _search(self.made(load("torchattacks"), Finite(model), threat), x, y)

    def made(self, torchattacks: ModuleType, model: nn.Module, threat: Threat) -> Any:  # noqa: ANN401 - it has no types
        """The attack object."""
        return torchattacks.APGD(
            scale_free(model, dlr=self.recipe.loss == "dlr", draws=self.recipe.draws),
            **_ball(threat),
            loss=self.recipe.loss,
            steps=self.recipe.steps,
            n_restarts=self.recipe.restarts,
            eot_iter=self.recipe.draws,
        )


class TorchattacksApgdTargeted(_Torchattacks[recipes.TorchattacksApgdTargetedRecipe]):
    """`torchattacks.APGDT`: the targeted DLR loss, one wrong class after the other.

    In L2 torchattacks gives all images the step size of the first one that resists.
    """

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
            steps=self.recipe.steps,
            n_restarts=self.recipe.restarts,
            n_classes=min(self.recipe.targets + 1, classes),
        )


class TorchattacksFab(_Torchattacks[recipes.TorchattacksFabRecipe]):
    """`torchattacks.FAB`, by default with AutoAttack's budget instead of its own of 10 steps."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The nearest misclassified image, if it lies in the ball; otherwise the clean one."""
        classes = self.check(model, x, threat)
        return _search(self.made(load("torchattacks"), Finite(model), threat, classes), x, y)

    def made(self, torchattacks: ModuleType, model: nn.Module, threat: Threat, classes: int) -> Any:  # noqa: ANN401
        """The attack object."""
        return torchattacks.FAB(
            ScaleFree(model, "logits"),
            **_ball(threat),
            steps=self.recipe.steps,
            n_restarts=self.recipe.restarts,
            multi_targeted=self.recipe.targets > 0,
            n_classes=min(self.recipe.targets + 1, classes),
        )


class TorchattacksSquare(_Torchattacks[recipes.TorchattacksSquareRecipe]):
    """`torchattacks.Square`: random search that sees logits but no gradients."""

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """Where it can't tile the images."""
        refuse_square(shape, norm)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `TorchattacksApgd`."""
        self.check(model, x, threat)
        return _search(self.made(load("torchattacks"), Finite(model), threat, x), x, y)

    def made(
        self, torchattacks: ModuleType, model: nn.Module, threat: Threat, x: Tensor, *, stretched: bool = True
    ) -> Any:  # noqa: ANN401
        """The attack object for images like `x`; squares shrink over `queries` or, as in AutoAttack, over 10,000."""
        return torchattacks.Square(
            model,
            **_ball(threat),
            n_queries=self.recipe.queries,
            n_restarts=self.recipe.restarts,
            resc_schedule=stretched,
            p_init=_largest_square(x.shape[2], x.shape[3]),
        )


def _largest_square(height: int, width: int) -> float:
    """The published share 0.8 of an image that the first squares cover, less where they wouldn't fit."""
    return 0.8 if height == width else min(0.8, (min(height, width) - 1) ** 2 / (height * width))


def refuse_square(shape: Shape, norm: Norm) -> None:
    """In L2 Square's first pattern tiles the image (C, H, W), which doesn't work out at every size."""
    _, height, width = shape
    if norm == "l2" and not tiles(height, width):
        raise InputError(f"the Square attack can't tile images of {height}×{width} pixels in l2: use another attack")


def tiles(height: int, width: int) -> bool:
    """Whether the pattern of tiles that starts `margin` from the edge fits: one that sticks out is a crash."""
    side = height // 5
    margin = (height - 5 * side) // 2
    return side == 1 or (side > 1 and all(size % side >= margin for size in (height, width)))


class TorchattacksAutoAttack(_Torchattacks[recipes.TorchattacksAutoAttackRecipe]):
    """AutoAttack of torchattacks' parts, one after the other on the images that still resist.

    "standard" is APGD on cross-entropy, targeted APGD, targeted FAB and Square; "rand", for random networks, APGD on
    cross-entropy and on DLR with gradients over 20 draws. Budgets are those of the paper and of its authors' code:
    `torchattacks.AutoAttack` itself takes 10 steps instead of 100. Three classes have no targeted DLR loss, so
    untargeted DLR stands in for it; two have none at all, so both versions go without.

    On a random network "standard" takes a lucky draw for a success, and so, less often, does "rand": only fresh draws
    say what their images are worth.
    """

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """As Square, where it is a part."""
        if self.recipe.version == "standard":
            refuse_square(shape, norm)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `TorchattacksApgd`."""
        classes = self.check(model, x, threat)
        torchattacks = load("torchattacks")
        parts = self._parts(torchattacks, Finite(model), threat, x, classes)
        return _search(parts[0] if len(parts) == 1 else _in_turn(torchattacks, parts), x, y)

    def _parts(self, torchattacks: ModuleType, model: nn.Module, threat: Threat, x: Tensor, classes: int) -> list[Any]:
        draws = 20 if self.recipe.version == "rand" else 1
        steps = self.recipe.steps
        first = TorchattacksApgd(recipes.TorchattacksApgdRecipe(steps=steps, draws=draws))
        parts = [first.made(torchattacks, model, threat)]
        if classes > 3 and self.recipe.version == "standard":
            targeted = TorchattacksApgdTargeted(recipes.TorchattacksApgdTargetedRecipe(steps=steps))
            parts.append(targeted.made(torchattacks, model, threat, classes))
        elif classes > 2:
            dlr = TorchattacksApgd(recipes.TorchattacksApgdRecipe(loss="dlr", steps=steps, draws=draws))
            parts.append(dlr.made(torchattacks, model, threat))
        if self.recipe.version == "standard":
            fab = TorchattacksFab(recipes.TorchattacksFabRecipe(steps=steps, targets=9))
            parts.append(fab.made(torchattacks, model, threat, classes))
            square = TorchattacksSquare(recipes.TorchattacksSquareRecipe(queries=self.recipe.queries))
            parts.append(square.made(torchattacks, model, threat, x, stretched=False))
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


class TorchattacksCw(_Torchattacks[recipes.TorchattacksCwRecipe]):
    """`torchattacks.CW`: Carlini and Wagner's attack at one constant, without their search for it."""

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The nearest misclassified image, if it lies in the ball; otherwise the clean one."""
        attack = load("torchattacks").CW(
            _Above(Finite(model)),
            c=self.recipe.constant,
            kappa=self.recipe.confidence,
            steps=self.recipe.steps,
            lr=self.recipe.learning_rate,
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
