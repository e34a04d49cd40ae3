"""From what the user typed to an evaluation that is ready to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from robustbench_aig.cli import options
from robustbench_aig.cli.choosing import Request, Shape, choose
from robustbench_aig.cli.images import images_of
from robustbench_aig.errors import InputError, did_you_mean
from robustbench_aig.recipes import AttackRecipe
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_attack, find_suite

if TYPE_CHECKING:
    from robustbench_aig.evaluation import Evaluator

SMALL_EPS = ("4/255", "8/255", "16/255", "32/255")
LARGE_EPS = ("0.5/255", "1/255", "2/255", "8/255")
"""Epsilons over which an undefended network goes from intact to lost: images below 24 pixels, and from there on."""

NamedAttack = tuple[str, AttackRecipe]


def chosen_threats(request: Request, shape: Shape) -> list[Threat]:
    """The epsilons asked for, or those that suit images (C, H, W)."""
    defaults = SMALL_EPS if min(shape[1:]) < options.SMALL_SIDE else LARGE_EPS
    if not request.eps and request.norm != "linf":
        raise InputError(f"name the epsilons for --norm {request.norm}, like --eps 0.25 --eps 0.5")
    return [Threat.parse(text, request.norm) for text in request.eps or defaults]


def chosen_attacks(request: Request) -> tuple[list[NamedAttack], list[str]]:
    """The attacks that know the norm, and the names of those that don't."""
    from robustbench_aig.attacks import build_attack  # noqa: PLC0415 - imports torch

    named = [find_attack(name) for name in dict.fromkeys(request.attacks)] or find_suite(request.suite)
    able = [(name, recipe) for name, recipe in named if request.norm in build_attack(recipe.attack).norms]
    left = [name for name, recipe in named if (name, recipe) not in able]
    if not able:
        raise InputError(f"{', '.join(left)} cannot search an {request.norm} ball: choose another --attack or --norm")
    return able, left


def _check_counts(request: Request) -> None:
    for option, value in (("--limit", request.limit), ("--chunk", request.chunk), ("--draws", request.draws)):
        if value < 1:
            raise InputError(f"{option} must be at least 1, got {value}")


def assemble(request: Request, progress: Callable[[int, int], None] | None = None) -> tuple[Evaluator, list[str]]:
    """Load images and networks, fix the plan, open the report directory.

    What can be refused without torch is refused before it is imported.

    Returns:
        The evaluator, and notes on what was chosen for the user.
    """
    _check_counts(request)
    choice = choose(request)
    # Threats that are wrong are refused now; whether the defaults are those of small images is known with the data.
    chosen_threats(request, choice.shape or (1, 1, 1))

    from robustbench_aig.attacks import build_attack  # noqa: PLC0415 - imports torch
    from robustbench_aig.cli.loading import load_networks  # noqa: PLC0415
    from robustbench_aig.environment import environment  # noqa: PLC0415
    from robustbench_aig.evaluation import (  # noqa: PLC0415
        KEPT,
        Evaluator,
        Images,
        Store,
        make_plan,
        plan_evaluations,
    )

    device = options.resolve_device(request.device)
    attacks, left = chosen_attacks(request)
    _check_policies(request.policies)
    notes = [f"left out, because they cannot search an {request.norm} ball: {', '.join(left)}"] if left else []
    test, data = images_of(choice.data, source=request.data, limit=request.limit, seed=request.seed, progress=progress)
    options.suit_threads(data.shape)
    images = Images(test.batch(slice(None)), test.labels, test.ids)
    loaded = load_networks(request, choice, images, data, device)
    plan = make_plan(
        data=data,
        models=[network.record for network, _ in loaded.networks],
        evaluations=plan_evaluations(
            [(network.record, policies) for network, policies in loaded.networks],
            attacks,
            chosen_threats(request, data.shape),
        ),
        seed=request.seed,
        chunk=request.chunk,
        draws=request.draws,
        command=request.command,
        environment=environment(device),
        ladder=loaded.rungs,
    )
    subjects = {
        (network.record.name, policy): network.subject(policy)
        for network, policies in loaded.networks
        for policy in policies
    }
    store = Store(request.out / (request.name or f"{data.name}-{plan.digest[:8]}"))
    store.open(plan, resume=request.resume)
    keep = data.n if request.keep_images else KEPT
    built = {name: build_attack(recipe.attack) for name, recipe in attacks}
    return Evaluator(plan, subjects, built, images, store, device, keep), [*notes, *loaded.notes]


def _check_policies(policies: Sequence[str]) -> None:
    from robustbench_aig.gating import DEPLOYABLE  # noqa: PLC0415 - imports torch

    for name in policies:
        if name not in DEPLOYABLE:
            raise InputError(f"unknown gate policy '{name}': {did_you_mean(name, DEPLOYABLE)}")
