"""The checks as cheap as they can be, and networks to see them on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from robustbench_aig.attacks import Apgd
from robustbench_aig.checks import ALL, Case, Check, Finding, run_checks
from robustbench_aig.checks.blackbox import BlackBox, Outsiders
from robustbench_aig.evaluation import Network
from robustbench_aig.recipes import ApgdRecipe, DeployedMode
from tests.checks.grounds import digits

Trained = Callable[[str], Network]
Make = Callable[[Trained], Case]
QUICK_SEARCH = Apgd(ApgdRecipe(steps=20, keep="best"))


def lighter(check: Check) -> Check:
    """No more images than a pass takes, fewer queries, and no union that outsiders have to beat."""
    few = min(check.images, max(check.limits.needs, 48))
    # A part of the images is counted by these, and much has been recorded of one.
    many = check.name in {"convergence", "fresh-draws", "clean-accuracy", "plausible-input"}
    changes: dict[str, Any] = {} if many else {"images": few}
    if isinstance(check, Outsiders):
        changes |= {"union": False}
    if isinstance(check, BlackBox):
        changes |= {"queries": 300, "pairs": 5}
    return replace(check, **changes)


CHECKS = {check.name: lighter(check) for check in ALL}


def changed(case: Case, make: Callable[..., torch.nn.Module], *arguments: object) -> Case:
    return replace(case, subject=replace(case.subject, model=make(case.subject.model, *arguments), copy=None))


def plain(trained: Trained) -> Case:
    return digits().case(trained("plain"), "none", QUICK_SEARCH, recorded=(358, 364), training=digits().learned)


def gated(trained: Trained) -> Case:
    return digits().case(trained("gated-0"), "argmax", QUICK_SEARCH)


def sampled(trained: Trained) -> Case:
    return digits().case(
        trained("gated-0"), "sampled", Apgd(ApgdRecipe(steps=10, keep="best", gates=DeployedMode(draws=5)))
    )


def found(case: Case, check: Check) -> Finding:
    return next(run_checks(case, [check]))


def fewer(case: Case, count: int) -> Case:
    return replace(case, images=case.images.pick(slice(count)))
