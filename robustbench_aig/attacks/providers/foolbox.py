"""Attacks as foolbox computes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robustbench_aig.attacks.providers.provider_attack import (
    Finite,
    ProviderAttack,
    R,
    ScaleFree,
    load,
    on_those_that_are_right,
    quiet,
    within,
)
from robustbench_aig.errors import AttackError
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import FgsmRecipe, PgdRecipe
from robustbench_aig.recipes import provider_attacks as recipes
from robustbench_aig.threat import Norm, Threat

_PART = 16
"""HopSkipJump holds hundreds of copies of every image at once, so it is given so many."""


class _Foolbox(ProviderAttack[R]):
    provider: ClassVar[str] = "foolbox"
    package: ClassVar[str] = "foolbox"
    install: ClassVar[str] = "pip install foolbox"


class FoolboxFgsm(_Foolbox[FgsmRecipe]):
    """`foolbox.attacks.FGSM` or `foolbox.attacks.FGM` (L2)."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """One step without a random start."""
        algorithm = getattr(_foolbox().attacks, {"linf": "FGSM", "l2": "FGM"}[threat.norm])
        return _run(algorithm(random_start=False), ScaleFree(model, "gradients"), x, y, threat.value)


class FoolboxPgd(_Foolbox[PgdRecipe]):
    """`foolbox.attacks.LinfPGD` or `foolbox.attacks.L2PGD`; attributes as for our own `Pgd`."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The clipped result; foolbox's own success flag is not believed."""
        algorithm = getattr(_foolbox().attacks, {"linf": "LinfPGD", "l2": "L2PGD"}[threat.norm])
        attack = algorithm(
            abs_stepsize=self.recipe.step * threat.value, steps=self.recipe.steps, random_start=self.recipe.random_start
        )
        return _run(attack, ScaleFree(model, "gradients"), x, y, threat.value)


class FoolboxFmn(_Foolbox[recipes.FoolboxFmnRecipe]):
    """`foolbox.attacks.LInfFMNAttack`; `L2FMNAttack` is left out, for its projection leaves every image where it is."""

    norms: ClassVar[tuple[Norm, ...]] = ("linf",)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The nearest misclassified image, if it lies in the ball; otherwise the clean one."""
        attack = _foolbox().attacks.LInfFMNAttack(
            steps=self.recipe.steps, max_stepsize=self.recipe.step, gamma=self.recipe.gamma
        )
        return within(_run(attack, ScaleFree(Finite(model), "logits"), x, y, None), x, threat)


class FoolboxCw(_Foolbox[recipes.FoolboxCwRecipe]):
    """`foolbox.attacks.L2CarliniWagnerAttack`; where it finds nothing it returns black images."""

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `FoolboxFmn`."""
        attack = _foolbox().attacks.L2CarliniWagnerAttack(
            binary_search_steps=self.recipe.searches,
            steps=self.recipe.steps,
            stepsize=self.recipe.learning_rate,
            initial_const=self.recipe.constant,
        )
        return within(_run(attack, Finite(model), x, y, None), x, threat)


class FoolboxDdn(_Foolbox[recipes.FoolboxDdnRecipe]):
    """`foolbox.attacks.DDNAttack`."""

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `FoolboxFmn`."""
        attack = _foolbox().attacks.DDNAttack(
            steps=self.recipe.steps, init_epsilon=self.recipe.start, gamma=self.recipe.gamma
        )
        return within(_run(attack, ScaleFree(Finite(model), "gradients"), x, y, None), x, threat)


class FoolboxHopSkipJump(_Foolbox[recipes.FoolboxHopSkipJumpRecipe]):
    """`foolbox.attacks.HopSkipJumpAttack`: sees the class alone, walks along the boundary towards the image.

    It starts from noise, or, where the network gives noise the image's own class, from the nearest other image of the
    chunk. It believes every answer, so a random network is refused: it would wait for a lucky draw for ever.
    """

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `FoolboxFmn`; the clean image where no start was found, too."""
        model = Finite(model)
        with torch.no_grad():
            if not torch.equal(model(x), model(x)):
                raise AttackError("HopSkipJump needs a network that answers the same every time, this one is random")
        return within(
            on_those_that_are_right(lambda a, b: self._attack(model, a, b, threat.norm), model, x, y), x, threat
        )

    def _attack(self, model: nn.Module, x: Tensor, y: Tensor, norm: Norm) -> Tensor:
        start, found = _starts(model, x, y)
        adv = x.clone()
        if not bool(found.any()):
            return adv
        attack = _foolbox().attacks.HopSkipJumpAttack(
            steps=self.recipe.steps,
            initial_gradient_eval_steps=self.recipe.first,
            max_gradient_eval_steps=self.recipe.most,
            constraint=norm,
        )
        attack.approximate_gradients = _each_of_length_one(attack.approximate_gradients)
        for part in torch.split(found.nonzero()[:, 0], _PART):
            adv[part] = _run(attack, model, x[part], y[part], None, starting_points=start[part])
        return adv


def _each_of_length_one(estimate: Callable[..., Any]) -> Callable[..., Any]:
    """Gradients of one length whatever the batch: foolbox divides them by the length of all of them together."""

    def unit(*arguments: Any) -> Any:  # noqa: ANN401 - foolbox's tensors have no types
        gradients = estimate(*arguments)
        length = gradients.flatten(1).norms.l2(axis=-1) if len(gradients.shape) > 2 else gradients.norms.l2(axis=-1)
        return gradients / length.reshape((-1,) + (1,) * (len(gradients.shape) - 1)).maximum(1e-12)

    return unit


def _starts(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Misclassified images (B, C, H, W) to start from, and where (B,) there are any."""
    start = _run(_foolbox().attacks.LinearSearchBlendedUniformNoiseAttack(steps=50), model, x, y, None)
    with torch.no_grad():
        noise, guess = model(start).argmax(1) != y, model(x).argmax(1)
    other = guess[None, :] != y[:, None]
    distance = torch.cdist(x.flatten(1), x.flatten(1)).masked_fill(~other, torch.inf)
    nearest = x[distance.argmin(1)]
    return torch.where(noise.view(-1, 1, 1, 1), start, nearest), noise | other.any(1)


def _foolbox() -> ModuleType:
    # foolbox imports GitPython, which fails where there is no git unless it is told to keep quiet.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    return load("foolbox")


def _run(
    attack: Any,  # noqa: ANN401 - foolbox's attacks have no types
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float | None,
    **given: Tensor,
) -> Tensor:
    foolbox = _foolbox()
    with quiet():
        # Without a device foolbox would move the model to the first GPU.
        view = foolbox.PyTorchModel(model, bounds=(0, 1), device=x.device)
        _, clipped, _ = attack(view, x, foolbox.criteria.Misclassification(y), epsilons=eps, **given)
    images: Tensor = clipped
    return images.detach()
