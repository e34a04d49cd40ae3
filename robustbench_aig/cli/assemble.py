"""From what the user typed to an evaluation that is ready to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from robustbench_aig.cli import options
from robustbench_aig.cli.choosing import Choice, Request, Shape, choose
from robustbench_aig.cli.images import images_of
from robustbench_aig.corruptions.names import Corruption
from robustbench_aig.errors import InputError, did_you_mean
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_attack, find_suite

if TYPE_CHECKING:
    import torch

    from robustbench_aig.cli.building import Chosen
    from robustbench_aig.evaluation import Evaluator, Images, Store, Subject, Together
    from robustbench_aig.records import Plan

SMALL_EPS = ("4/255", "8/255", "16/255", "32/255")
LARGE_EPS = ("0.5/255", "1/255", "2/255", "8/255")
"""Epsilons over which an undefended network goes from intact to lost: images below 24 pixels, and from there on."""


def chosen_threats(request: Request, shape: Shape) -> list[Threat]:
    """The epsilons asked for, or those that suit images (C, H, W); none where corruptions alone are asked for."""
    if not request.in_balls:
        return []
    defaults = SMALL_EPS if min(shape[1:]) < options.SMALL_SIDE else LARGE_EPS
    if not request.eps and request.norm != "linf":
        raise InputError(f"name the epsilons for --norm {request.norm}, like --eps 0.25 --eps 0.5")
    return [Threat.parse(text, request.norm) for text in request.eps or defaults]


def refuse_early(request: Request) -> Choice:
    """What the request names, once all that can be refused without importing torch is refused."""
    for option, value in (("--limit", request.limit), ("--chunk", request.chunk), ("--draws", request.draws)):
        if value < 1:
            raise InputError(f"{option} must be at least 1, got {value}")
    for name in request.attacks:
        find_attack(name)
    find_suite(request.suite)
    for text in request.corruptions if request.corruption_files is None else ():
        Corruption.parse(text)
    choice = choose(request)
    # Threats that are wrong are refused now; whether the defaults are those of small images is known with the data.
    chosen_threats(request, choice.shape or (1, 1, 1))
    return choice


def assemble(
    request: Request,
    together: Together,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Evaluator, list[str]]:
    """Load images and networks, fix the plan, open the report directory.

    Args:
        request: as typed.
        together: the processes that share the work; the leading one opens the directory.
        device: this process's.
        progress: told how many images are read.

    Returns:
        The evaluator, and notes on what was chosen for the user.
    """
    from robustbench_aig.cli.building import build, named_attacks  # noqa: PLC0415 - imports torch
    from robustbench_aig.cli.corrupting import chosen_corruptions  # noqa: PLC0415
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

    choice = refuse_early(request)
    _check_policies(request.policies)
    test, data = images_of(choice.data, source=request.data, limit=request.limit, seed=request.seed, progress=progress)
    options.suit_threads(data.shape)
    images = Images(test.batch(slice(None)), test.labels, test.ids)
    corruptions, files, left_out = chosen_corruptions(request, images, data)
    amp = options.precision_for(device, data.shape, amp=request.amp)
    loaded = load_networks(request, choice, images, data, device, amp=amp)
    named, cascade = named_attacks(request, loaded.networks)
    attacks, named, notes = build(named, request, loaded.networks, data, device)
    plan = make_plan(
        data=data,
        models=[network.record for network, _ in loaded.networks],
        evaluations=plan_evaluations(
            [(network.record, policies) for network, policies in loaded.networks],
            named,
            chosen_threats(request, data.shape),
            corruptions,
        ),
        seed=request.seed,
        chunk=request.chunk,
        draws=request.draws,
        command=request.command,
        environment=environment(device),
        ladder=loaded.rungs,
        cascade=cascade,
        precision="bf16" if amp else "fp32",
    )
    subjects = _subjects(plan, loaded.networks, images, device)
    store = Store(request.out / (request.name or f"{data.name}-{plan.digest[:8]}"))
    _open(store, plan, together, resume=request.resume)
    keep = data.n if request.keep_images else KEPT
    evaluator = Evaluator(plan, subjects, attacks, images, store, device, keep, together, files)
    return evaluator, [*notes, *left_out, *loaded.notes]


def _subjects(plan: Plan, networks: Chosen, images: Images, device: torch.device) -> dict[tuple[str, str], Subject]:
    """Each network under each of its policies, with the classes' paths where an attack on it aims at one."""
    from robustbench_aig.evaluation.judge import class_routes  # noqa: PLC0415 - imports torch

    aimed = {
        (e.model, e.policy) for e in plan.evaluations if e.settings.get("objective", {}).get("name") == "other-path"
    }
    found = {}
    for network, policies in networks:
        for policy in policies:
            subject = network.subject(policy)
            if (subject.name, policy) in aimed:
                x, y, ids = (tensor.to(device) for tensor in (images.pixels, images.labels, images.ids))
                routes = class_routes(subject, x, y, ids=ids, seed=plan.seed, classes=len(plan.data.classes))
                subject = replace(subject, routes=routes)
            found[subject.name, policy] = subject
    return found


def _open(store: Store, plan: Plan, together: Together, *, resume: bool) -> None:
    """Let the leader open the directory, once all processes have seen that it may."""
    store.check(plan, resume=resume)
    together.wait()
    if together.world.leads:
        store.open(plan, resume=True)
    together.wait()
    if not together.world.leads:
        store.join(plan)


def _check_policies(policies: Sequence[str]) -> None:
    from robustbench_aig.gating import DEPLOYABLE  # noqa: PLC0415 - imports torch

    for name in policies:
        if name not in DEPLOYABLE:
            raise InputError(f"unknown gate policy '{name}': {did_you_mean(name, DEPLOYABLE)}")
