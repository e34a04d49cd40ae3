"""From what the user typed to an evaluation that is ready to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_aig.cli import options
from robustbench_aig.errors import InputError, did_you_mean
from robustbench_aig.recipes import AttackRecipe
from robustbench_aig.records import DataRecord, ModelRecord
from robustbench_aig.runs import RunRecord, find_run, newest_pair, read_run
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_attack, find_suite

if TYPE_CHECKING:
    import torch

    from robustbench_aig.data import ImageSet
    from robustbench_aig.evaluation import Evaluator, Subject

SMALL_EPS = ("4/255", "8/255", "16/255", "32/255")
LARGE_EPS = ("0.5/255", "1/255", "2/255", "8/255")
"""Epsilons over which an undefended network goes from intact to lost: images below 24 pixels, and from there on."""

Run = tuple[Path, RunRecord]
NamedAttack = tuple[str, AttackRecipe]


@dataclass(frozen=True)
class Request:
    """What the user asked for, as typed."""

    runs: Sequence[str]
    runs_root: Path
    eps: Sequence[str]
    norm: str
    attacks: Sequence[str]
    suite: str
    policies: Sequence[str]
    data: str | None
    limit: int
    keep_images: bool
    chunk: int
    draws: int
    seed: int
    device: str
    out: Path
    name: str | None
    resume: bool
    command: str


def chosen_runs(request: Request) -> list[Run]:
    """The named runs, or the newest pair; they must have been trained on the same data."""
    if not request.runs:
        return newest_pair(request.runs_root)
    paths = [find_run(name, request.runs_root) for name in dict.fromkeys(request.runs)]
    runs = [(path, read_run(path)) for path in paths]
    first = runs[0][1]
    for _, other in runs[1:]:
        if (other.data.classes, other.data.shape) != (first.data.classes, first.data.shape):
            raise InputError(f"{first.name} and {other.name} were trained on different data: attack them separately")
    if len({record.name for _, record in runs}) < len(runs):
        raise InputError("two of the runs have the same name: rename the directory of one")
    return runs


def chosen_threats(request: Request, shape: tuple[int, int, int]) -> list[Threat]:
    """The epsilons asked for, or those that suit the image size."""
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
    runs = chosen_runs(request)
    threats = chosen_threats(request, runs[0][1].data.shape)
    _check_counts(request)

    from robustbench_aig.attacks import build_attack  # noqa: PLC0415 - imports torch
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
    options.suit_threads(runs[0][1].data.shape)
    attacks, left = chosen_attacks(request)
    _check_policies(request.policies)
    notes = [f"left out, because they cannot search an {request.norm} ball: {', '.join(left)}"] if left else []
    test, data = _images(request, runs[0][1], progress)
    models, subjects = _subjects(runs, request.policies, device)
    plan = make_plan(
        data=data,
        models=[model for model, _ in models],
        evaluations=plan_evaluations(models, attacks, threats),
        seed=request.seed,
        chunk=request.chunk,
        draws=request.draws,
        command=request.command,
        environment=environment(device),
    )
    store = Store(request.out / (request.name or f"{data.name}-{plan.digest[:8]}"))
    store.open(plan, resume=request.resume)
    keep = data.n if request.keep_images else KEPT
    built = {name: build_attack(recipe.attack) for name, recipe in attacks}
    images = Images(test.batch(slice(None)), test.labels, test.ids)
    return Evaluator(plan, subjects, built, images, store, device, keep), notes


def _check_policies(policies: Sequence[str]) -> None:
    from robustbench_aig.gating import DEPLOYABLE  # noqa: PLC0415 - imports torch

    for name in policies:
        if name not in DEPLOYABLE:
            raise InputError(f"unknown gate policy '{name}': {did_you_mean(name, DEPLOYABLE)}")


def _images(
    request: Request, record: RunRecord, progress: Callable[[int, int], None] | None
) -> tuple[ImageSet, DataRecord]:
    """The first images of the test split's seeded order, and their description."""
    from robustbench_aig.data import digest_of, load_data  # noqa: PLC0415

    trained = record.data
    source = request.data or trained.source
    found = load_data(source, seed=trained.seed, shape=trained.shape, progress=progress)
    if list(found.classes) != trained.classes:
        raise InputError(f"{source} has other classes than the data that {record.name} was trained on")
    test = found.test.limit(request.limit, request.seed)
    return test, DataRecord(
        name=found.name,
        split="test",
        n=len(test),
        available=len(found.test),
        shape=trained.shape,
        classes=trained.classes,
        digest=digest_of(test.images, test.labels),
    )


def _subjects(
    runs: Sequence[Run], policies: Sequence[str], device: torch.device
) -> tuple[list[tuple[ModelRecord, list[str]]], dict[tuple[str, str], Subject]]:
    from robustbench_aig.evaluation import network_of_run  # noqa: PLC0415
    from robustbench_aig.training import load_model  # noqa: PLC0415

    models: list[tuple[ModelRecord, list[str]]] = []
    subjects: dict[tuple[str, str], Subject] = {}
    for path, record in runs:
        network = network_of_run(record, load_model(path, device))
        under = network.policies(list(dict.fromkeys(policies)))
        models.append((network.record, under))
        subjects |= {(record.name, policy): network.subject(policy) for policy in under}
    return models, subjects
