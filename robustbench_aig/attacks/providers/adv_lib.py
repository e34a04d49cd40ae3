"""Attacks as adv-lib (the adversarial library of Rony and Ben Ayed) computes them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType
from typing import ClassVar

from torch import Tensor, nn

from robustbench_aig.attacks.providers.provider_attack import (
    Finite,
    ProviderAttack,
    R,
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
from robustbench_aig.recipes import provider_attacks as recipes
from robustbench_aig.threat import Norm, Shape, Threat


class _AdvLib(ProviderAttack[R]):
    provider: ClassVar[str] = "adv-lib"
    package: ClassVar[str] = "adv_lib"
    install: ClassVar[str] = "pip install --no-deps adv-lib==0.2.8"
    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2", "l1")


class AdvLibApgd(_AdvLib[recipes.AdvLibApgdRecipe]):
    """`adv_lib.attacks.apgd`."""

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """Two classes have no DLR loss."""
        if self.recipe.loss == "dlr" and classes < 3:
            raise InputError(f"the DLR loss needs 3 classes, this network has {classes}: use loss = 'ce'")

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The first image found that is misclassified; the clean one where none is."""
        self.check(model, x, threat)
        with quiet():
            adv: Tensor = _attacks().apgd(
                scale_free(Finite(model), dlr=self.recipe.loss == "dlr", draws=self.recipe.draws),
                x,
                y,
                threat.value,
                threat.ball.p,
                loss_function=self.recipe.loss,
                n_iter=self.recipe.steps,
                n_restarts=self.recipe.restarts,
                eot_iter=self.recipe.draws,
            )
        return adv.detach()


class AdvLibApgdTargeted(_AdvLib[recipes.AdvLibApgdTargetedRecipe]):
    """`adv_lib.attacks.apgd_targeted`, on the images that the network gets right.

    It aims at the classes behind the likeliest one, among which is the label where the network is wrong already.
    """

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """The targeted DLR loss compares four logits."""
        if self.recipe.loss == "dlr" and classes < 4:
            raise InputError(f"the targeted DLR loss needs 4 classes, this network has {classes}: use loss = 'ce'")

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `AdvLibApgd`."""
        targets = min(self.recipe.targets, self.check(model, x, threat) - 1)

        def attack(x: Tensor, y: Tensor) -> Tensor:
            adv: Tensor = _attacks().apgd_targeted(
                scale_free(Finite(model), dlr=self.recipe.loss == "dlr", draws=self.recipe.draws),
                x,
                y,
                threat.value,
                threat.ball.p,
                loss_function=self.recipe.loss,
                n_iter=self.recipe.steps,
                n_restarts=self.recipe.restarts,
                eot_iter=self.recipe.draws,
                num_targets=targets,
            )
            return adv.detach()

        with quiet():
            return on_those_that_are_right(attack, model, x, y)


class AdvLibFab(_AdvLib[recipes.AdvLibFabRecipe]):
    """`adv_lib.attacks.fab`."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The nearest misclassified image, if it lies in the ball; otherwise the clean one."""
        rounds = min(self.recipe.targets, self.check(model, x, threat) - 1) or self.recipe.restarts
        return _nearest(
            lambda model: _attacks().fab(
                model,
                x,
                y,
                threat.ball.p,
                n_iter=self.recipe.steps,
                ε=threat.value,
                restarts=rounds,
                targeted_restarts=self.recipe.targets > 0,
            ),
            model,
            x,
            threat,
        )


class AdvLibFmn(_AdvLib[recipes.AdvLibFmnRecipe]):
    """`adv_lib.attacks.fmn`.

    In L2 it aims exactly at the boundary; where a network is piecewise linear with few pieces, it stops just before it.
    """

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `AdvLibFab`."""
        return _nearest(
            lambda model: _attacks().fmn(
                model, x, y, threat.ball.p, steps=self.recipe.steps, α_init=self.recipe.step, γ_init=self.recipe.gamma
            ),
            model,
            x,
            threat,
        )


class AdvLibDdn(_AdvLib[recipes.AdvLibDdnRecipe]):
    """`adv_lib.attacks.ddn`, without its rounding to 256 levels."""

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """As for `AdvLibFab`."""
        return _nearest(
            lambda model: _attacks().ddn(
                model, x, y, steps=self.recipe.steps, γ=self.recipe.gamma, init_norm=self.recipe.start, levels=None
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
