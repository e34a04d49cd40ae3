"""From what the user typed to an evaluation that is ready to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_aig.cli import options
from robustbench_aig.cli.image_options import data_of, tested
from robustbench_aig.cli.run_selection import Choice, Naming, choose
from robustbench_aig.corruptions.names import Corruption
from robustbench_aig.errors import InputError
from robustbench_aig.files import safe_name
from robustbench_aig.norms import BALLS, DEFAULT
from robustbench_aig.policy_traits import refuse_unknown
from robustbench_aig.records import Asked, Draws
from robustbench_aig.runs import RunRecord
from robustbench_aig.threat import Shape, Threat
from robustbench_aig.zoo import find_attack, find_suite

if TYPE_CHECKING:
    import torch

    from robustbench_aig.evaluation import Evaluator, Together

SMALL_EPS = tuple(map(Threat.parse, ("4/255", "8/255", "16/255", "32/255")))
LARGE_EPS = tuple(map(Threat.parse, ("0.5/255", "1/255", "2/255", "8/255")))
"""Epsilons over which an undefended network goes from intact to lost: images below 24 pixels, and from there on."""


@dataclass(frozen=True, kw_only=True)
class AttackRequest(Naming):
    """What the user asked for, as typed.

    `in_balls` is whether attacks in norm balls are among it, or corruptions alone.
    """

    ladder: bool
    threats: Sequence[Threat]
    attacks: Sequence[str]
    suite: str
    corruptions: Sequence[str]
    corruption_files: Path | None
    in_balls: bool
    policies: Sequence[str]
    limit: int | None
    keep_images: bool
    chunk: int
    draws: Draws
    amp: bool | None
    out: Path
    name: str | None
    resume: bool
    command: str


def chosen_threats(request: AttackRequest, choice: Choice, shape: Shape) -> Sequence[Threat]:
    """The epsilons asked for; else those between which a plain network falls, or that suit images (C, H, W) of a size.

    None where corruptions alone are asked for.
    """
    if not request.in_balls:
        return []
    if request.threats:
        return request.threats
    if request.norm != DEFAULT:
        usual = BALLS[request.norm].usual
        raise InputError(f"name the epsilons for --norm {request.norm}, like --eps {usual}")
    of_size = SMALL_EPS if min(shape[1:]) < options.SMALL_SIDE else LARGE_EPS
    return _budgets(choice, of_size) or of_size


def _budgets(choice: Choice, usual: Sequence[Threat]) -> list[Threat]:
    """Where the first seed of each plain recipe falls, or the usual ones where one doesn't say; none without recipes.

    Claims are judged there (`claims.robustness`).
    """
    first: dict[str, RunRecord] = {}
    for _, record in sorted(choice.runs, key=lambda run: run[1].seed):
        if record.family == "plain":
            first.setdefault(record.recipe.model_dump_json(), record)
    falls = [record.fall for record in first.values()]
    found = {threat for fall in falls for threat in ([Threat.parse(e) for e in fall.budgets] if fall else usual)}
    return sorted(found, key=lambda threat: threat.rank)


def refuse_early(request: AttackRequest) -> Choice:
    """What the request names, once all that can be refused without importing torch is refused."""
    for policy in request.policies:
        refuse_unknown(policy)
    for name in request.attacks:
        find_attack(name)
    find_suite(request.suite)
    for text in request.corruptions if request.corruption_files is None else ():
        Corruption.parse(text)
    choice = choose(request, ladder=request.ladder)
    # Whether the defaults are those of small images is known with the data; that there are some is asked now.
    chosen_threats(request, choice, choice.shape or (1, 1, 1))
    return choice


def assemble(
    request: AttackRequest,
    choice: Choice,
    together: Together,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Evaluator, list[str]]:
    """Load images and networks, fix the plan, open the report directory.

    Args:
        request: as typed.
        choice: the networks that it names.
        together: the processes that share the work; the leading one opens the directory.
        device: this process's.
        progress: told how many images are read.

    Returns:
        The evaluator, and notes on what was chosen for the user.
    """
    from robustbench_aig.cli.corruption_options import chosen_corruptions  # noqa: PLC0415 - imports torch
    from robustbench_aig.cli.network_loading import Known, load_networks  # noqa: PLC0415
    from robustbench_aig.evaluation import KEPT, Images  # noqa: PLC0415
    from robustbench_aig.study import Wanted, prepare  # noqa: PLC0415

    found = data_of(choice.data, source=request.data, seed=request.seed, progress=progress)
    test, data = tested(found, request.limit, request.seed, request.images)
    options.suit_threads(data.shape)
    images = Images(test.batch(slice(None)), test.labels, test.ids, test.file_names)
    corruptions, files, left_out = chosen_corruptions(request, images, data)
    known = Known(found.validation if choice.data else None, progress)
    loaded = load_networks(request, choice, images, data, device, known)
    wanted = Wanted(
        chosen_threats(request, choice, data.shape),
        request.attacks,
        request.suite,
        corruptions,
        seed=request.seed,
        chunk=request.chunk,
        draws=request.draws,
        amp=options.precision_for(device, data.shape, amp=request.amp),
        keep=data.n if request.keep_images else KEPT,
        runs=request.runs_root,
    )
    asked = Asked(
        runs=str(request.runs_root),
        data=request.data,
        images=str(request.images) if request.images else None,
        norm=request.norm,
        seed=request.seed,
        device=request.device,
        networks=loaded.named,
    )
    evaluator, notes = prepare(
        loaded.networks,
        images,
        data,
        wanted,
        place=lambda plan: request.out / (request.name or safe_name(f"{data.name}-{plan.digest[:8]}")),
        command=request.command,
        device=device,
        resume=request.resume,
        together=together,
        rungs=loaded.rungs,
        files=files,
        asked=asked,
    )
    return evaluator, [*choice.notes, *notes, *left_out, *loaded.notes]
