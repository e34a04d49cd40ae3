"""`aigrob check`: can the numbers that attacks give be trusted?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from robustbench_aig.cli import options
from robustbench_aig.cli.checkup import show
from robustbench_aig.cli.image_options import data_of, tested
from robustbench_aig.cli.policy_option import policy_of
from robustbench_aig.cli.progress import counting, reading
from robustbench_aig.cli.run_selection import Choice, Naming, choose_one
from robustbench_aig.cli.tables import show_verdicts
from robustbench_aig.cli.terminal import aside, console
from robustbench_aig.defence_names import defended_name
from robustbench_aig.errors import CheckError, InputError, Interrupted
from robustbench_aig.ladder import Run
from robustbench_aig.norms import BALLS
from robustbench_aig.recipes.attack_recipes import TransferRecipe
from robustbench_aig.records import Checkup, DataRecord, FindingRecord, ModelRecord
from robustbench_aig.reporting.checkups import add_checkup, refuse_foreign
from robustbench_aig.runs import find_run, read_run, twin_of
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_attack

if TYPE_CHECKING:
    from robustbench_aig.checks import Case, Check, Finding
    from robustbench_aig.evaluation import Network

EXAMPLES = """\b
Examples:
  aigrob check digits-aig14-s0
      all checks, for AutoPGD on the network with deterministic (argmax) gates
  aigrob check digits-aig14-s0 --quick
      only checks that need few gradients per image
  aigrob check digits-aig14-s0 --policy sampled --attack apgd:gates=straight-through,gates.draws=20
      checks a stronger attack on stochastic gates
  aigrob check photos-aig20-s0 --eps 1/255 --other photos-resnet20-s1
  aigrob check digits-aig14-s0 --policy sampled --into reports/digits-1fe5b2d9
      needed before any claim of that report can be supported
  aigrob check digits-aig14-s0 --defence jpeg:75 --into reports/digits-1fe5b2d9
      the network with a defence, as the report attacks it
  aigrob check --model examples.skipnet:network --weights skipnet.safetensors --data digits
  aigrob check digits-resnet14-s0 --json | jq '.findings[] | select(.status == "fail")'
"""

IMAGES, QUICK_IMAGES = 1000, 300
_GRADIENT = 2
"""A pass with a gradient takes about as long as so many without."""


@dataclass(frozen=True, kw_only=True)
class CheckRequest(Naming):
    """What the user asked for, as typed."""

    policy: str | None
    attack: str | None
    threat: Threat | None
    others: Sequence[str]
    into: Path | None
    limit: int | None
    quick: bool
    quiet: bool
    json: bool


@click.command(epilog=EXAMPLES)
@click.argument("run", metavar="[RUN]", required=False)
@options.own_options
@options.defence_option
@click.option("--quick", is_flag=True, help="Only the checks that need few gradients per image.")
@options.policy_option
@click.option(
    "--attack",
    metavar="NAME[:KEY=VALUE,…]",
    help="The attack to examine.  [default: apgd; for stochastic gates over 5 draws]",
)
@click.option(
    "--eps",
    "threat",
    type=options.ball,
    metavar="E",
    help="Perturbation budget ε.  [default: chosen so that robust accuracy is about one half]",
)
@options.norm_option
@click.option(
    "--other",
    "others",
    multiple=True,
    metavar="RUN",
    help="A network to transfer attacks from, repeatable.  [default: the twin of RUN, if there is one]",
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="A report directory with attacks on RUN: its claims then use these checks, and its page shows them.",
)
@options.moved_data_option
@options.images_option
@options.runs_option
@click.option(
    "--limit",
    type=options.count,
    metavar="N",
    help=f"Check on the first N images of a fixed, seeded order.  [default: {IMAGES}; {QUICK_IMAGES} with --quick]",
)
@options.shared(out=None, verb="check", resume=False)
def check(**chosen: Any) -> None:  # noqa: ANN401 - click hands over what the options declare
    """Check whether the robust accuracy of a network under an attack can be trusted.

    Each check counts the images that show a defect: of the network (no logits, hidden randomness, no gradient, …) or of
    the attack (weaker than a single step, than more steps, than random noise, …). The exact interval of their share
    says pass, warn or fail; where there are too few images to tell, the answer is n/a, and never a pass.

    RUN is the name of a run or its directory; a --model is checked in its place.

    Exit code: 0 no check failed, 1 at least one failed, 2 bad usage or input, 3 interrupted.
    """
    runs = [name for name in (chosen.pop("run"),) if name is not None]
    request = CheckRequest(**chosen, runs=runs)
    try:
        with aside():
            found = _carry_out(request, console(quiet=request.quiet))
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; try again: {options.command_line()}") from None
    report = add_checkup(request.into, found) if request.into else None
    show(found, as_json=request.json)
    if request.into and report and not request.json:
        show_verdicts(report, request.into)
    failed = found.named("fail")
    if failed:
        raise CheckError(f"{len(failed)} of {len(found.findings)} checks failed: {', '.join(failed)}")


def _carry_out(request: CheckRequest, shown: Console) -> Checkup:
    """Load, choose the ball, ask; all that can be refused is refused before anything is computed."""
    if request.attack and isinstance(find_attack(request.attack)[1].attack, TransferRecipe):
        raise InputError(
            "a transfer attack runs on another network: name an --attack on RUN itself, and that network as --other"
        )
    choice = choose_one(request)
    if request.into:
        for _, run in choice.runs:
            name = defended_name(run.name, request.defences[0])
            refuse_foreign(request.into, name, run.weights_digest, request.policy)
    for note in choice.notes:
        shown.print(note, markup=False)
    others = _others(request, choice)

    from robustbench_aig.checks import ALL, QUICK  # noqa: PLC0415 - imports torch

    case, record, data, attack = _case(request, choice, others, shown)
    if request.into:
        refuse_foreign(request.into, record.name, record.weights_digest, case.subject.policy)
    checks = QUICK if request.quick else ALL
    if request.threat is None:
        shown.print(f"chosen perturbation budget: {case.threat}", markup=False)
    return Checkup(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=options.command_line(),
        run=record.name,
        weights_digest=record.weights_digest,
        policy=case.subject.policy,
        attack=attack,
        threat=case.threat,
        chosen_threat=request.threat is None,
        others=[other.name for other in case.others],
        data=data,
        seed=request.seed,
        quick=request.quick,
        findings=list(_findings(case, checks, shown)),
    )


def _others(request: CheckRequest, choice: Choice) -> list[Run]:
    """The networks to transfer from: those named, else the twin beside the run or in the folder of runs."""
    if request.others:
        paths = [find_run(name, request.runs_root) for name in dict.fromkeys(request.others)]
        return [(found, read_run(found)) for found in paths]
    twins = (twin_of(record, root) for path, record in choice.runs for root in (path.parent, request.runs_root))
    return [twin for twin in twins if twin][:1]


def _case(
    request: CheckRequest, choice: Choice, others: Sequence[Run], shown: Console
) -> tuple[Case, ModelRecord, DataRecord, str]:
    """What is checked, in the ball that was named or else is chosen; on which images; the attack's name."""
    from robustbench_aig.attacks import build_attack  # noqa: PLC0415 - imports torch
    from robustbench_aig.checks import Case, reference_name  # noqa: PLC0415
    from robustbench_aig.checks.informative_ball import informative  # noqa: PLC0415
    from robustbench_aig.cli.network_loading import load_one  # noqa: PLC0415
    from robustbench_aig.evaluation import Images, network_of_run  # noqa: PLC0415
    from robustbench_aig.training import load_model  # noqa: PLC0415

    device = options.resolve_device(request.device)
    usual = None if request.images else QUICK_IMAGES if request.quick else IMAGES
    with reading(shown) as progress:
        known = data_of(choice.data, source=request.data, seed=request.seed, progress=progress)
        test, data = tested(known, request.limit or usual, request.seed, request.images)
    options.suit_threads(data.shape)
    _refuse_others(others, data)
    images = Images(test.batch(slice(None)), test.labels, test.ids, test.file_names)
    network = load_one(request, choice, images, data, device)
    policy = policy_of(network, request.policy)
    subject = _with_copy(network).subject(policy)
    name, recipe = find_attack(request.attack or reference_name(random=subject.random))
    attack = build_attack(recipe.attack)
    networks = [_with_copy(network_of_run(record, load_model(path, device))) for path, record in others]
    # Of a network behind a defence nothing is recorded; images that were named are no sample of the test set.
    recorded = {} if network.record.defence or request.images else _recorded(choice, policy)
    threat = request.threat or Threat.parse(BALLS[request.norm].usual, request.norm)
    case = Case(
        subject=subject,
        images=images.chunk(0, len(test), device),
        threat=threat,
        attack=attack,
        seed=request.seed,
        others=tuple(other.subject(other.policies([])[0]) for other in networks),
        recorded=recorded.get("test"),
        training=(known.train, known.validation),
        validation=recorded.get("validation"),
    )
    attack.refuse_unfit(case.classes, data.shape, threat.norm)
    return (case if request.threat else replace(case, threat=informative(case))), network.record, data, name


def _refuse_others(others: Sequence[Run], data: DataRecord) -> None:
    """InputError for a network to transfer from that takes other images."""
    for _, other in others:
        if (other.data.classes, other.data.shape) != (data.classes, data.shape):
            raise InputError(f"{other.name} was trained on other data than {data.name}: choose another --other")


def _recorded(choice: Choice, policy: str) -> dict[str, tuple[int, int]]:
    """By split, how many of how many images a run says were right; without those that nobody counted."""
    found = {}
    for _, record in choice.runs:
        for split in ("test", "validation") if record.metrics else ():
            score = getattr(record.metrics, split).get(policy)
            if score:
                found[split] = (round(score.accuracy * score.n), score.n)
    return found


def _with_copy(network: Network) -> Network:
    """The network with its faster copy for attacks."""
    from robustbench_aig.models import fused  # noqa: PLC0415 - imports torch

    return replace(network, copy=fused(network.model))


def _findings(case: Case, checks: Sequence[Check], shown: Console) -> Iterator[FindingRecord]:
    """Carry checks out and show how far they are, by the passes that they cost at most."""
    from robustbench_aig.checks import estimate, run_checks  # noqa: PLC0415 - imports torch

    def passes(count: int) -> int:
        return round(estimate(case, checks[:count]).seconds(1, _GRADIENT))

    total = passes(len(checks))
    with counting(shown, "checking, passes") as progress:
        progress(0, total)
        start = time.perf_counter()
        for number, finding in enumerate(run_checks(case, checks), 1):
            now = time.perf_counter()
            seconds, start = now - start, now
            progress(passes(number), total)
            if not shown.is_terminal:
                line = f"{number}/{len(checks)}  {finding.check}  {finding.status}  {seconds:.1f} s"
                shown.print(line, markup=False)
            yield _record(finding, seconds)


def _record(finding: Finding, seconds: float) -> FindingRecord:
    return FindingRecord(
        check=finding.check,
        title=finding.title,
        status=finding.status,
        value=finding.value,
        low=finding.interval.low,
        high=finding.interval.high,
        count=finding.count,
        n=finding.n,
        unit=finding.limits.unit,
        needs=finding.limits.needs,
        threshold=finding.threshold,
        evidence=finding.evidence,
        numbers=dict(finding.numbers),
        advice=finding.advice,
        seconds=round(seconds, 2),
    )
