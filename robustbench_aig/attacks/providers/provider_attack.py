"""What the attacks of other providers have in common: they are given little and believed less."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from robustbench_aig.attacks.attack_interface import Attack
from robustbench_aig.errors import InputError, NotFiniteError
from robustbench_aig.norms import Norm, of_order_one
from robustbench_aig.recipes.section import Section
from robustbench_aig.threat import Threat

R = TypeVar("R", bound=Section)


@dataclass(frozen=True)
class ProviderAttack(Attack, Generic[R]):
    """An attack of another provider.

    Attributes:
        recipe: its settings.
        package: the module that is imported.
        install: the command that installs it.
    """

    recipe: R

    own_noise: ClassVar[bool] = False
    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    package: ClassVar[str]
    install: ClassVar[str]

    def check(self, model: nn.Module, x: Tensor, threat: Threat) -> int:
        """The number of classes of `model`, asked with one of the images (B, C, H, W); InputError as for `refuse`."""
        with torch.no_grad():
            classes: int = model(x[:1]).shape[1]
        self.refuse_unfit(classes, (x.shape[1], x.shape[2], x.shape[3]), threat.norm)
        return classes


class Finite(nn.Module):
    """A network that stops an attack at the first logit that isn't finite.

    Attacks compare losses, and a comparison with NaN is false: the image would count as one that resists.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes); AttackError where one is NaN or infinite."""
        logits: Tensor = self.model(x)
        if not bool(logits.isfinite().all()):
            raise NotFiniteError
        return logits


Scaled = Literal["gradients", "logits"]


class ScaleFree(nn.Module):
    """A network for attacks whose mathematics knows no scale, but whose code divides by something plus 1e-12 or so.

    The gradient of a sure network's cross-entropy is shorter than that, and such a step would go nowhere. Here each
    image's gradient comes back, or its logits come out, times a power of two that makes the largest number of it one
    of order one: directions, and ratios of logits and their gradients, stay what they are.

    Args:
        model: images to logits.
        of: "gradients", for attacks that step along them; "logits", for losses that are ratios of them, and for
            distances of their differences over the gradients of these.
    """

    def __init__(self, model: nn.Module, of: Scaled) -> None:
        super().__init__()
        self.model, self.of = model, of
        self.training = model.training

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes)."""
        logits: Tensor = self.model(_OfOrderOne.apply(x) if self.of == "gradients" else x)
        return of_order_one(logits) if self.of == "logits" else logits


class _OfOrderOne(torch.autograd.Function):
    """The images themselves; their gradients of order one, image by image."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401, ARG004 - autograd's own signature
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        return of_order_one(gradient)


def scale_free(model: nn.Module, *, dlr: bool, draws: int = 1) -> nn.Module:
    """A network as AutoPGD may see it.

    Args:
        model: images to logits.
        dlr: whether the loss is a ratio of logits.
        draws: passes whose gradients are averaged, which must then stay as long as they are.
    """
    by_loss = ScaleFree(model, "logits") if dlr else model
    return by_loss if draws > 1 else ScaleFree(by_loss, "gradients")


def require(attack: type[ProviderAttack[Any]]) -> None:
    """InputError that names the command, where an attack's provider isn't installed."""
    if find_spec(attack.package) is None:
        raise InputError(f"attacks of {attack.provider} need it installed: {attack.install}")


def load(package: str) -> ModuleType:
    """Import a provider: slow, so only where one of its attacks runs; warnings at its import concern nobody here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(package)


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that a provider prints, logs or warns of reaches the terminal; errors do."""
    logger = logging.getLogger("auto-attack")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def fresh_seed() -> int:
    """A seed from torch's global generator, which many attacks reset to 0 unless they are given one."""
    return int(torch.randint(2**31, ()).item())


def within(adv: Tensor, x: Tensor, threat: Threat) -> Tensor:
    """The result of an attack that looks for the smallest change, held to a threat.

    Args:
        adv: (B, C, H, W), at whatever distance.
        x: the images.
        threat: the ball.

    Returns:
        `adv` in the ball; the image itself where it lies outside, for then nothing was found. NaN stays.
    """
    far = threat.distance(adv, x) > threat.value
    return torch.where(far.view(-1, 1, 1, 1), x, adv)


def on_those_that_are_right(
    attack: Callable[[Tensor, Tensor], Tensor], model: nn.Module, x: Tensor, y: Tensor
) -> Tensor:
    """Attack the images (B, C, H, W) that the network gets right; the others stay as they are."""
    with torch.no_grad():
        right = model(x).argmax(1) == y
    adv = x.clone()
    if bool(right.any()):
        adv[right] = attack(x[right], y[right])
    return adv
