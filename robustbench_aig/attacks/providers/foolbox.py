"""Attacks as foolbox computes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robustbench_aig.attacks.providers.provider_attack import (
    Finite,
    ProviderAttack,
    ScaleFree,
    load,
    on_those_that_are_right,
    quiet,
    within,
)
from robustbench_aig.errors import AttackError
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Norm, Threat

_PART = 16
"""HopSkipJump holds hundreds of copies of every image at once, so it is given so many."""


class _Foolbox(ProviderAttack):
    provider: ClassVar[str] = "foolbox"
    package: ClassVar[str] = "foolbox"
    install: ClassVar[str] = "pip install foolbox"


@dataclass(frozen=True)
class FoolboxFgsm(_Foolbox):
    """`foolbox.attacks.FGSM` or `foolbox.attacks.FGM` (L2)."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """One step without a random start."""
        algorithm = getattr(_foolbox().attacks, {"linf": "FGSM", "l2": "FGM"}[threat.norm])
        return _run(algorithm(random_start=False), ScaleFree(model, "gradients"), x, y, threat.value)


@dataclass(frozen=True)
class FoolboxPgd(_Foolbox):
    """`foolbox.attacks.LinfPGD` or `foolbox.attacks.L2PGD`; attributes as for our own `Pgd`."""

    steps: int = 20
    step: float = 0.125
    random_start: bool = True

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The clipped result; foolbox's own success flag is not believed."""
        algorithm = getattr(_foolbox().attacks, {"linf": "LinfPGD", "l2": "L2PGD"}[threat.norm])
        attack = algorithm(abs_stepsize=self.step * threat.value, steps=self.steps, random_start=self.random_start)
        return _run(attack, ScaleFree(model, "gradients"), x, y, threat.value)


@dataclass(frozen=True)
class FoolboxFmn(_Foolbox):
    """`foolbox.attacks.LInfFMNAttack`; `L2FMNAttack` is left out, for its projection leaves every image where it is.

    Attributes:
        steps: number of gradient steps.
        step: length of the first one, in units of the pixel range; they shorten to a hundredth.
        gamma: first share by which the ball shrinks or grows.
    """

    steps: int = 100
    step: float = 1.0
    gamma: float = 0.05
    norms: tuple[Norm, ...] = ("linf",)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The nearest misclassified image, if it lies in the ball; otherwise the clean one."""
        attack = _foolbox().attacks.LInfFMNAttack(steps=self.steps, max_stepsize=self.step, gamma=self.gamma)
        return within(_run(attack, ScaleFree(Finite(model), "logits"), x, y, None), x, threat)


@dataclass(frozen=True)
class FoolboxCw(_Foolbox):
    """`foolbox.attacks.L2CarliniWagnerAttack`; where it finds nothing it returns black images.

    Attributes:
        searches: values of the constant that are tried.
        steps: number of Adam's steps for each; fewer once the whole chunk gains nothing any more.
        learning_rate: of Adam.
        constant: the first weight of the margin against the squared distance.
    """

    searches: int = 9
    steps: int = 10000
    learning_rate: float = 0.01
    constant: float = 1e-3
    norms: tuple[Norm, ...] = ("l2",)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `FoolboxFmn`."""
        attack = _foolbox().attacks.L2CarliniWagnerAttack(
            binary_search_steps=self.searches,
            steps=self.steps,
            stepsize=self.learning_rate,
            initial_const=self.constant,
        )
        return within(_run(attack, Finite(model), x, y, None), x, threat)


@dataclass(frozen=True)
class FoolboxDdn(_Foolbox):
    """`foolbox.attacks.DDNAttack`.

    Attributes:
        steps: number of gradient steps.
        start: first length of the change.
        gamma: share by which the length shrinks or grows.
    """

    steps: int = 100
    start: float = 1.0
    gamma: float = 0.05
    norms: tuple[Norm, ...] = ("l2",)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `FoolboxFmn`."""
        attack = _foolbox().attacks.DDNAttack(steps=self.steps, init_epsilon=self.start, gamma=self.gamma)
        return within(_run(attack, ScaleFree(Finite(model), "gradients"), x, y, None), x, threat)


@dataclass(frozen=True)
class FoolboxHopSkipJump(_Foolbox):
    """`foolbox.attacks.HopSkipJumpAttack`: sees the class alone, walks along the boundary towards the image.

    It starts from noise, or, where the network gives noise the image's own class, from the nearest other image of the
    chunk. It believes every answer, so a random network is refused: it would wait for a lucky draw for ever.

    Attributes:
        steps: number of steps.
        first: decisions asked for the first estimate of a gradient, which grows with the root of the step.
        most: decisions asked for any estimate at most.
    """

    steps: int = 64
    first: int = 100
    most: int = 10000

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
            steps=self.steps,
            initial_gradient_eval_steps=self.first,
            max_gradient_eval_steps=self.most,
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
