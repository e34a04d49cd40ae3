"""`aigrob train`: train networks and leave one run directory for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from robustbench_aig.cli import options
from robustbench_aig.cli.interruption import stop_on_signals
from robustbench_aig.cli.jobs import TrainRequest, find_jobs
from robustbench_aig.cli.progress import follow
from robustbench_aig.cli.tensorboard import check_tensorboard, logged
from robustbench_aig.cli.terminal import console, say, stdout
from robustbench_aig.commands import with_flag
from robustbench_aig.data import KNOWN
from robustbench_aig.distributed import joined
from robustbench_aig.errors import Interrupted
from robustbench_aig.recipes import PRESETS
from robustbench_aig.reporting.run_page import write_run_page
from robustbench_aig.runs import PAGE, RunRecord, clear_run
from robustbench_aig.statistics import commonest, wilson
from robustbench_aig.training import Job
from robustbench_aig.training import train as train_network
from robustbench_aig.training.fall import record_fall

LOG = "tensorboard"

EXAMPLES = """\b
Examples:
  aigrob train
      the default pair on the built-in digits
  aigrob train --data cifar10 --download
      depth 110 and the long recipe on a GPU, depth 20 and the short one on a CPU
  aigrob train aig110 resnet110 --data cifar10 --preset paper
      the published recipe: 349 epochs
  aigrob train aig20 --data cifar10 --adversarial fast --eps 8/255
  aigrob train aig20 --data cifar10 --init cifar10-resnet20-s0
      starts from a trained plain network
  aigrob train --data photos/ --image-size 32 --epochs 20
      photos/train/CLASS/*.jpg and photos/test/CLASS/*.jpg
  aigrob train my-recipe.toml --name mine --seed 1
  aigrob train --ladder digits-aig14-s0
      the networks that the ablation of a finished gated run still needs
  aigrob train --resume
      continues the same command after an interruption
  torchrun --nproc-per-node 8 -m robustbench_aig.cli train --data cifar10
      on 8 GPUs, which share every batch
"""


@click.command(epilog=EXAMPLES)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--ladder",
    metavar="RUN",
    help="Ablation: train the networks that a gated run is compared with, on its data, by its recipe and seed: plain "
    "of equal depth, plain of equal mean compute, and stochastic depth. Finished ones are not trained again.",
)
@click.option(
    "--data",
    metavar="NAME|DIR",
    help=f"{', '.join(KNOWN)} or a folder of images.  [default: the data set of MODEL, else digits]",
)
@click.option(
    "--preset",
    type=click.Choice(PRESETS),
    help="Preset of the recipe.  [default: long on a GPU, short on a CPU]",
)
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Number of epochs, instead of the recipe's.")
@click.option(
    "--adversarial",
    type=click.Choice(["pgd", "trades", "fast"]),
    help="Adversarial training; keeps the epoch with the highest robust accuracy on validation images.",
)
@click.option("--eps", metavar="EPS", help="Perturbation budget ε for --adversarial.  [default: 8/255]")
@click.option(
    "--init",
    metavar="RUN",
    help="Start from the weights of a run, for all layers that it has; gates start from random weights.",
)
@click.option("--image-size", type=click.IntRange(min=4), metavar="N", help="Scale and crop images to N×N pixels.")
@click.option("--download", is_flag=True, help="Download a known data set that is missing.")
@click.option(
    "--amp/--no-amp", default=None, help="Compute in bfloat16.  [default: if the hardware supports it, on real images]"
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the network with torch.compile; takes a minute.")
@click.option("--sync-bn", is_flag=True, help="Batch statistics over all processes, not per process; CUDA only.")
@click.option("--tensorboard", is_flag=True, help="Write a TensorBoard log into the run while it trains.")
@click.option("--overwrite", is_flag=True, help="Replace an existing run of the same name.")
@options.shared(out="runs", verb="training")
def train(**chosen: Any) -> None:  # noqa: ANN401 - click hands over what the options declare
    """Train networks, each into a directory below --out.

    MODEL is the name of a recipe (aigrob models lists them) or a path to one. The default is the pair:
    a gated ResNet and its plain twin, of a size that suits the images and the hardware.

    Ctrl-C and SIGTERM save the training and exit with status 3; the same command with --resume goes on. Under
    torchrun the processes share every batch; each one normalises its own part of it unless --sync-bn says otherwise.
    """
    request = TrainRequest(**chosen)
    with joined(options.resolve_device(request.device)) as (world, device):
        shown = console(quiet=request.quiet or not world.leads)
        try:
            if request.tensorboard:
                check_tensorboard()
            jobs = find_jobs(request, world, device, shown)
            finished = [_train(job, request, shown) for job in jobs]
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted before the training started; try again: {options.command_line()}") from None
        if not world.leads:
            return
    if request.json:
        click.echo(json.dumps({"runs": [_as_json(job, record) for job, record in zip(jobs, finished, strict=True)]}))
    elif finished:
        stdout().print(_table(finished))
        for note in (note for job, record in zip(jobs, finished, strict=True) for note in _guesses(job, record)):
            shown.print(note, markup=False)
        say(*(f"page: {job.directory / PAGE}" for job in jobs))
        say(f"next: {options.next_attack([job.directory for job in jobs])}")


def _train(job: Job, request: TrainRequest, shown: Console) -> RunRecord:
    world = job.hardware.world
    if request.overwrite and world.leads:
        clear_run(job.directory)
    world.wait()
    try:
        with stop_on_signals(quiet=request.quiet or not world.leads) as stop:
            events = train_network(job, resume=request.resume, stop=stop)
            if request.tensorboard and world.leads:
                events = logged(events, job.directory, job.directory / LOG)
            record = follow(events, job.directory.name, shown)
            if world.leads:
                record = record_fall(job.directory, job.data.validation, job.hardware.device)
    except KeyboardInterrupt:
        raise Interrupted(
            f"{job.directory.name}: interrupted; what was saved is in {job.directory}, continue with: "
            f"{with_flag(job.command, '--resume')}"
        ) from None
    if world.leads:
        write_run_page(job.directory)
    return record


def _guesses(job: Job, record: RunRecord) -> list[str]:
    """A line for each policy under which it is not significantly better than always predicting the largest class."""
    assert record.metrics is not None
    share = commonest(job.data.test.labels.cpu().numpy())
    return [
        f"{record.name}{'' if policy == 'none' else f' ({policy})'}: {tested.accuracy:.1%} of the test images, and "
        f"{share:.1%} have the most frequent class: the network has learned nothing yet. Try more --epochs, more "
        "images, or --init"
        for policy, tested in record.metrics.test.items()
        if wilson(round(tested.accuracy * tested.n), tested.n)[0] <= share
    ]


def _as_json(job: Job, record: RunRecord) -> dict[str, Any]:
    return {"directory": str(job.directory), **record.model_dump(mode="json")}


def _table(records: Sequence[RunRecord]) -> Table:
    table = Table("run", "gates", "validation", "test", "mean execution rate")
    for record in records:
        assert record.metrics is not None
        for policy, tested in record.metrics.test.items():
            rate = "" if tested.mean_rate is None else f"{tested.mean_rate:.3f}"
            validation = record.metrics.validation[policy]
            table.add_row(record.name, policy, f"{validation.accuracy:.2%}", f"{tested.accuracy:.2%}", rate)
    return table
