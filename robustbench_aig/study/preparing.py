"""From networks, images and what is wanted of them to an evaluation that is ready to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from robustbench_aig.corruptions.cifar_c import CorruptedFiles
from robustbench_aig.environment import environment
from robustbench_aig.errors import InputError
from robustbench_aig.evaluation import (
    Evaluator,
    Images,
    Network,
    Store,
    Subject,
    Together,
    make_plan,
    plan_evaluations,
)
from robustbench_aig.evaluation.applicability import without_patterns
from robustbench_aig.evaluation.judge import class_routes
from robustbench_aig.models import fused
from robustbench_aig.policy_traits import PLAIN, traits
from robustbench_aig.precision import float32
from robustbench_aig.records import EXACT, Asked, DataRecord, Plan, Rung
from robustbench_aig.study.attack_preparation import build, named_attacks
from robustbench_aig.study.study_request import Chosen, Wanted


@float32()
def prepare(
    networks: Chosen,
    images: Images,
    data: DataRecord,
    wanted: Wanted,
    *,
    place: Callable[[Plan], Path],
    command: str,
    device: torch.device,
    resume: bool,
    together: Together | None = None,
    rungs: Sequence[Rung] = (),
    files: CorruptedFiles | None = None,
    asked: Asked | None = None,
) -> tuple[Evaluator, list[str]]:
    """Configure the attacks, fix the plan, open the report directory.

    Args:
        networks: on the device; each gets faster copies for the attacks to work on.
        images: in their fixed order.
        data: what they are.
        wanted: of the networks.
        place: the report directory for a plan.
        command: that the report is the result of.
        device: this process's.
        resume: go on with what an equal plan left there.
        together: the processes that share the work; the leading one opens the directory.
        rungs: of the ablation, where the networks are one.
        files: that corrupted images are read from; None to compute them.
        asked: what the user called networks and images, for the record.

    Returns:
        The evaluator, and notes on what was left out.

    Raises:
        InputError: an attack that was named can't work, or none is left.
        RunError: the directory holds another plan, or the same one and `resume` is false.
    """
    if wanted.draws == EXACT:
        _refuse_inexact(networks)
    networks = [(_with_copies(network, amp=wanted.amp), policies) for network, policies in networks]
    named, cascade = named_attacks(wanted, networks)
    attacks, named, notes = build(named, wanted, networks, data, device)
    models = [(network.record, policies) for network, policies in networks]
    plan = make_plan(
        data=data,
        models=[record for record, _ in models],
        evaluations=plan_evaluations(models, named, wanted.threats, wanted.corruptions),
        seed=wanted.seed,
        chunk=wanted.chunk,
        draws=wanted.draws,
        command=command,
        environment=environment(device),
        ladder=rungs,
        cascade=cascade,
        precision="bf16" if wanted.amp else "fp32",
        asked=asked,
    )
    together = together or Together()
    subjects = _subjects(plan, networks, images, device)
    store = Store(place(plan))
    damaged = _open(store, plan, images, together, resume=resume)
    evaluator = Evaluator(plan, subjects, attacks, images, store, device, wanted.keep, together, files)
    return evaluator, [*notes, *damaged]


def _refuse_inexact(networks: Chosen) -> None:
    """InputError where a random network can't be judged by every pattern of its gates."""
    for network, policies in networks:
        record = network.record
        for policy in policies:
            reason = without_patterns(record, policy) if record.restless or traits(policy).draws else None
            if reason is not None:
                under = "" if policy == PLAIN else f" under {policy} gates"
                raise InputError(
                    f"--draws exact: not for {record.name}{under}: {reason}; name a number, like --draws 10"
                )


def _with_copies(network: Network, *, amp: bool) -> Network:
    exact = fused(network.model)
    return replace(network, exact=exact, copy=fused(network.model, torch.bfloat16) if amp else exact)


def _subjects(plan: Plan, networks: Chosen, images: Images, device: torch.device) -> dict[tuple[str, str], Subject]:
    """Each network under each of its policies, with the classes' paths where an attack on it aims at one."""
    aimed = {(e.model, e.policy) for e in plan.evaluations if e.objective == "other-path"}
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


def _open(store: Store, plan: Plan, images: Images, together: Together, *, resume: bool) -> list[str]:
    """Let the leader open the directory, once all processes have seen that it may; what of it was damaged."""
    store.check(plan, resume=resume)
    together.wait()
    damaged: list[str] = []
    if together.world.leads:
        damaged = store.open(plan, resume=True)
        store.keep_names(images)
    together.wait()
    if not together.world.leads:
        store.join(plan)
    return damaged
