"""`aigrob attack`: attack trained networks, write the sample table and the report."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from robustbench_aig.cli import options
from robustbench_aig.cli.attack_request import LARGE_EPS, SMALL_EPS, AttackRequest, assemble, refuse_early
from robustbench_aig.cli.progress import count_images, reading
from robustbench_aig.cli.run_selection import Choice
from robustbench_aig.cli.terminal import aside, console
from robustbench_aig.cli.worker_processes import companions, is_companion, leads
from robustbench_aig.commands import with_flag
from robustbench_aig.corruptions.names import NAMES
from robustbench_aig.errors import AigrobError, AttackError, InputError, Interrupted
from robustbench_aig.policy_traits import DETERMINISTIC, POLICIES, STOCHASTIC, USUAL

if TYPE_CHECKING:
    from robustbench_aig.evaluation import Evaluator

EXAMPLES = """\b
Examples:
  aigrob attack --eps 4/255
      the newest run and its twin, FGSM and PGD by three providers
  aigrob attack --eps 0.5/255 --eps 1/255 --eps 2/255 --limit 1000
  aigrob attack digits-aig14-s0 --policy argmax --attack pgd --eps 8/255
  aigrob attack --suite adaptive --eps 1/255 --limit 500
      all gate-aware attacks
  aigrob attack --attack apgd:gates=leaded,gates.slope=3 --attack transfer:source=RUN
  aigrob attack --norm l2 --eps 0.25
  aigrob attack --ladder --attack fgsm --attack pgd
      ablation of the newest gated run; aigrob train --ladder trains missing networks
  aigrob attack --defence none --defence jpeg:75 --attack fgsm
      both networks, with and without JPEG compression in front
  aigrob attack --corruption all
      noise, blur, colours and compression at five severities, without attacks
  aigrob attack --corruptions CIFAR-10-C --eps 1/255
      the corruptions of a published test set, and the default attacks
  aigrob attack --model examples.skipnet:network --weights skipnet.safetensors --data digits
  aigrob attack --model timm:resnet18.a1_in1k --data imagenet/
  aigrob attack --eps 4/255 --resume
      continues the same command after an interruption
  aigrob attack --suite quick --eps 1/255 --processes 8
      on 8 CPU cores, which share the images
  torchrun --nproc-per-node 8 -m robustbench_aig.cli attack --eps 4/255
      on 8 GPUs, which share the images
"""


@click.command(epilog=EXAMPLES)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--eps",
    "threats",
    type=options.ball,
    multiple=True,
    metavar="E",
    help="Perturbation budget ε, repeatable: 4/255, 0.5/255, 0.03.  "
    "[default: three at which the plain network falls, measured after its training; else "
    f"{options.radii(LARGE_EPS)}, or below 24 pixels {options.radii(SMALL_EPS)}]",
)
@options.norm_option
@click.option(
    "--attack",
    "attacks",
    multiple=True,
    metavar="NAME[:KEY=VALUE,…]",
    help="An attack instead of a suite, repeatable; with changes to its recipe, like pgd:steps=50,gates=open.",
)
@click.option("--suite", default="default", show_default=True, metavar="NAME", help="A suite of attacks.")
@click.option(
    "--corruption",
    "corruptions",
    multiple=True,
    metavar="NAME[:SEVERITY]",
    help="A common corruption at one or all of five severities, repeatable, or all: "
    f"{', '.join(NAMES)}. Without --attack, --suite, --eps or --norm no attacks are run.",
)
@click.option(
    "--corruptions",
    "corruption_files",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Read corrupted images from files like those of CIFAR-10-C; --corruption then takes their names.  "
    "[default: compute them]",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME",
    help=f"How gates decide at test time, repeatable: {', '.join(POLICIES)}. {DETERMINISTIC} is deterministic, "
    f"{STOCHASTIC} stochastic. With majority and static all images take one path; with known, gates are sampled "
    "once, with noise that the attacker knows.  "
    f"[default: {' and '.join(USUAL)}; for a --model only {DETERMINISTIC}, its own threshold]",
)
@click.option(
    "--ladder",
    is_flag=True,
    help="Ablation: the gated RUN, or the newest, with networks that differ from it in one thing each.",
)
@options.own_options
@options.defence_option
@options.moved_data_option
@options.images_option
@options.runs_option
@click.option(
    "--chunk", type=options.count, default=100, show_default=True, metavar="N", help="Images per unit of work."
)
@click.option(
    "--draws",
    type=options.draws,
    default=10,
    show_default=True,
    metavar="K|exact",
    help="Scoring draws per image for stochastic gates; exact evaluates all patterns of at most 12 gates.",
)
@click.option(
    "--amp/--no-amp",
    default=None,
    help="Run our own attacks in bfloat16; results are judged in float32.  "
    "[default: if the hardware supports it, from 24 pixels on]",
)
@click.option("--keep-images", is_flag=True, help="Store all attacked images, not only 64 per evaluation.")
@click.option(
    "--latency/--no-latency",
    default=True,
    show_default=True,
    help="At the end, measure how much longer gated networks take for attacked images.",
)
@click.option(
    "--processes",
    type=options.count,
    default=1,
    show_default=True,
    metavar="N",
    help="Share the work among N processes on this machine; on a CPU one per core is fastest. Each gets cores / N "
    "threads; the rows are the same as those of one process with that many threads.",
)
@options.shared(out="reports", limit=1000, verb="attack")
def attack(**chosen: Any) -> None:  # noqa: ANN401 - click hands over what the options declare
    """Attack trained networks; report accuracy, gates and compute on the same images.

    RUN is the name of a run or its directory. The default is the newest run and its twin.

    After Ctrl-C, SIGTERM or a crash, the same command with --resume continues; at most the chunk in progress is
    repeated. With --processes or under torchrun the processes share the chunks. The numbers are the same as those of
    one process with as many threads as each; --resume may use another number of processes.
    """
    quiet, as_json, latency, processes = (chosen.pop(name) for name in ("quiet", "json", "latency", "processes"))
    if chosen["images"] and not _typed("limit"):
        chosen["limit"] = None
    in_balls = _in_balls(corrupted=bool(chosen["corruptions"] or chosen["corruption_files"]))
    request = AttackRequest(**chosen, in_balls=in_balls, command=options.command_line())
    carry_out(request, quiet=quiet, as_json=as_json, latency=latency, processes=processes)


def _in_balls(*, corrupted: bool) -> bool:
    """Whether attacks in norm balls are wanted: always without corruptions, else where something of them was typed."""
    return _typed("attacks", "suite", "threats", "norm") or not corrupted


def _typed(*names: str) -> bool:
    """Whether any of the parameters was given."""
    source = click.get_current_context().get_parameter_source
    return any(source(name) is not ParameterSource.DEFAULT for name in names)


def carry_out(request: AttackRequest, *, quiet: bool, as_json: bool, latency: bool, processes: int) -> None:
    """Assemble, evaluate, measure latency where it's wanted, report.

    Raises:
        AttackError: images ended as errors; raised after everything else is measured and written.
        Interrupted: by Ctrl-C, naming the command that goes on.
    """
    with _told_once():
        choice = refuse_early(request)
        _refuse_processes(processes)
    evaluated = _evaluate(request, choice, quiet=quiet, processes=processes)
    if evaluated is None:
        return
    evaluator, reasons = evaluated
    from robustbench_aig.cli.tables import show  # noqa: PLC0415 - imports what makes a report
    from robustbench_aig.study.timing import finish  # noqa: PLC0415

    with _resumable(request.command), aside():  # by now the other processes have left the device alone
        report = finish(evaluator, console(quiet=quiet).print, clocks=latency)
    show(report, evaluator.store.directory, as_json=as_json)
    failed = [e for e in report.evaluations if e.errors]
    if failed:
        raise AttackError(
            f"{sum(e.errors for e in failed)} images in {len(failed)} evaluations ended as errors and count as "
            f"misclassified: {reasons[0] if reasons else failed[0].id}"
        )


def _refuse_processes(number: int) -> None:
    """InputError for a number of processes that can't be started here."""
    if number > 1 and "WORLD_SIZE" in os.environ and not is_companion():
        raise InputError("--processes starts processes of its own: leave it out under torchrun, which sets WORLD_SIZE")


def _evaluate(
    request: AttackRequest, choice: Choice, *, quiet: bool, processes: int
) -> tuple[Evaluator, list[str]] | None:
    """Carry out the evaluation, and say why images ended as errors; None in a process that only helps."""
    with companions(processes, options.typed()) as meet:
        with _told_once():
            device = options.resolve_device(request.device)
        from robustbench_aig.distributed import joined  # noqa: PLC0415 - imports torch, and errors come first
        from robustbench_aig.evaluation import Together  # noqa: PLC0415
        from robustbench_aig.study.duration import duration  # noqa: PLC0415

        options.share_threads(processes)
        meet()
        with joined(device) as (world, device), aside():
            shown = console(quiet=quiet or not world.leads)
            with _resumable(request.command):
                with reading(shown) as progress:
                    evaluator, notes = assemble(request, choice, Together(world), device, progress)
                for note in notes:
                    shown.print(note, markup=False)
                suite = None if request.attacks else request.suite
                if world.leads and not quiet and (told := duration(evaluator, suite)):
                    shown.print(told, markup=False)
                with evaluator.store.held_if_well():
                    reasons = count_images(evaluator, shown)
            return (evaluator, reasons) if world.leads else None


@contextmanager
def _resumable(command: str) -> Iterator[None]:
    """Where an interruption loses nothing that is finished."""
    try:
        yield
    except KeyboardInterrupt:
        resumed = with_flag(command, "--resume")
        raise Interrupted(f"interrupted; finished chunks are on disk, continue with: {resumed}") from None


@contextmanager
def _told_once() -> Iterator[None]:
    """Under torchrun let the leader alone tell of an error that all processes meet; the others exit like it."""
    try:
        yield
    except AigrobError as error:
        if leads():
            raise
        from robustbench_aig.distributed import end_after_leader  # noqa: PLC0415 - imports torch

        end_after_leader(error.exit_code)
