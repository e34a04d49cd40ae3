"""Attacks as adv-lib (the adversarial library of Rony and Ben Ayed) computes them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import ClassVar, Literal

from torch import Tensor, nn

from robustbench_aig.attacks.providers.provider_attack import (
    Finite,
    ProviderAttack,
    Scaled,
    ScaleFree,
    load,
    on_those_that_are_right,
    quiet,
    scale_free,
    within,
)
from robustbench_aig.errors import InputError
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Norm, Shape, Threat


class _AdvLib(ProviderAttack):
    provider: ClassVar[str] = "adv-lib"
    package: ClassVar[str] = "adv_lib"
    install: ClassVar[str] = "pip install --no-deps adv-lib==0.2.8"
    norms: tuple[Norm, ...] = ("linf", "l2", "l1")


@dataclass(frozen=True)
class AdvLibApgd(_AdvLib):
    """`adv_lib.attacks.apgd`.

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
            raise InputError(f"the DLR loss needs 3 classes, this network has {classes}: use loss = 'ce'")

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The first image found that is misclassified; the clean one where none is."""
        self.check(model, x, threat)
        with quiet():
            adv: Tensor = _attacks().apgd(
                scale_free(Finite(model), dlr=self.loss == "dlr", draws=self.draws),
                x,
                y,
                threat.value,
                threat.ball.p,
                loss_function=self.loss,
                n_iter=self.steps,
                n_restarts=self.restarts,
                eot_iter=self.draws,
            )
        return adv.detach()


@dataclass(frozen=True)
class AdvLibApgdTargeted(_AdvLib):
    """`adv_lib.attacks.apgd_targeted`, on the images that the network gets right.

    It aims at the classes behind the likeliest one, among which is the label where the network is wrong already.

    Attributes:
        loss: "dlr", which needs four classes, or "ce".
        steps: number of gradient steps for each class.
        restarts: number of random starts for each class.
        draws: passes whose gradients are averaged at every step.
        targets: how many classes, the likeliest first.
    """

    loss: Literal["ce", "dlr"] = "dlr"
    steps: int = 100
    restarts: int = 1
    draws: int = 1
    targets: int = 9

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """The targeted DLR loss compares four logits."""
        if self.loss == "dlr" and classes < 4:
            raise InputError(f"the targeted DLR loss needs 4 classes, this network has {classes}: use loss = 'ce'")

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `AdvLibApgd`."""
        targets = min(self.targets, self.check(model, x, threat) - 1)

        def attack(x: Tensor, y: Tensor) -> Tensor:
            adv: Tensor = _attacks().apgd_targeted(
                scale_free(Finite(model), dlr=self.loss == "dlr", draws=self.draws),
                x,
                y,
                threat.value,
                threat.ball.p,
                loss_function=self.loss,
                n_iter=self.steps,
                n_restarts=self.restarts,
                eot_iter=self.draws,
                num_targets=targets,
            )
            return adv.detach()

        with quiet():
            return on_those_that_are_right(attack, model, x, y)


@dataclass(frozen=True)
class AdvLibFab(_AdvLib):
    """`adv_lib.attacks.fab`.

    Attributes:
        steps: number of steps.
        restarts: number of starts, all but the first random, where it aims at no class.
        targets: how many classes it aims at, the likeliest first; 0 for the nearest of all at every step.
    """

    steps: int = 100
    restarts: int = 1
    targets: int = 0

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The nearest misclassified image, if it lies in the ball; otherwise the clean one."""
        rounds = min(self.targets, self.check(model, x, threat) - 1) or self.restarts
        return _nearest(
            lambda model: _attacks().fab(
                model,
                x,
                y,
                threat.ball.p,
                n_iter=self.steps,
                ε=threat.value,
                restarts=rounds,
                targeted_restarts=self.targets > 0,
            ),
            model,
            x,
            threat,
        )


@dataclass(frozen=True)
class AdvLibFmn(_AdvLib):
    """`adv_lib.attacks.fmn`.

    In L2 it aims exactly at the boundary; where a network is piecewise linear with few pieces, it stops just before it.

    Attributes:
        steps: number of gradient steps, by default the paper's instead of adv-lib's 10.
        step: length of the first one, in units of the pixel range; they shorten to a hundredth.
        gamma: first share by which the ball shrinks or grows.
    """

    steps: int = 100
    step: float = 1.0
    gamma: float = 0.05

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `AdvLibFab`."""
        return _nearest(
            lambda model: _attacks().fmn(
                model, x, y, threat.ball.p, steps=self.steps, α_init=self.step, γ_init=self.gamma
            ),
            model,
            x,
            threat,
        )


@dataclass(frozen=True)
class AdvLibDdn(_AdvLib):
    """`adv_lib.attacks.ddn`, without its rounding to 256 levels.

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
        """As for `AdvLibFab`."""
        return _nearest(
            lambda model: _attacks().ddn(
                model, x, y, steps=self.steps, γ=self.gamma, init_norm=self.start, levels=None
            ),
            model,
            x,
            threat,
            of="gradients",
        )


def _nearest(
    attack: Callable[[nn.Module], Tensor], model: nn.Module, x: Tensor, threat: Threat, of: Scaled = "logits"
) -> Tensor:
    with quiet():
        adv = attack(ScaleFree(Finite(model), of))
    return within(adv.detach(), x, threat)


def _attacks() -> ModuleType:
    # adv-lib imports visdom, a server of plots, for callbacks that no one here passes; an empty module stands in.
    absent = "visdom" not in sys.modules and find_spec("visdom") is None
    if absent:
        sys.modules["visdom"] = ModuleType("visdom")
    try:
        return load("adv_lib.attacks")
    finally:
        if absent:
            del sys.modules["visdom"]
