"""`aigrob train`: train networks and leave one run directory for each."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from robustbench_aig.cli import options
from robustbench_aig.cli.ladder import lacking_controls
from robustbench_aig.cli.progress import follow, reading
from robustbench_aig.cli.terminal import console, stdout
from robustbench_aig.data import DataSet, load_data
from robustbench_aig.errors import InputError, Interrupted
from robustbench_aig.recipes import ModelRecipe
from robustbench_aig.runs import RunRecord, clear_run, find_run, read_run
from robustbench_aig.training import Job
from robustbench_aig.training import train as train_network
from robustbench_aig.training.session import existing
from robustbench_aig.zoo import default_pair, find_model

EXAMPLES = """\b
Examples:
  aigrob train
      the default pair on the embedded digits
  aigrob train --data cifar10 --download
  aigrob train --data photos/ --image-size 32 --epochs 20
      photos/train/CLASS/*.jpg and photos/test/CLASS/*.jpg
  aigrob train aig14 --seed 1
  aigrob train my-recipe.toml --name mine
  aigrob train --ladder digits-aig14-s0
      the controls that the ladder of a finished gated run still lacks
  aigrob train --resume
      goes on where the same command was interrupted
"""


@dataclass(frozen=True)
class Request:
    """What the user asked for, as typed."""

    models: Sequence[str]
    ladder: str | None
    data: str
    epochs: int | None
    image_size: int | None
    download: bool
    amp: bool | None
    overwrite: bool
    out: Path
    name: str | None
    seed: int
    device: str
    resume: bool
    quiet: bool
    json: bool


@click.command(epilog=EXAMPLES)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--ladder",
    metavar="RUN",
    help="Train the controls of a gated run, on its data, by its recipe and seed: the plain network of equal depth, "
    "the one of equal mean compute, and stochastic depth. What is there already is kept.",
)
@click.option(
    "--data", default="digits", show_default=True, metavar="NAME|DIR", help="digits, cifar10 or a folder of images."
)
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Instead of the recipe's.")
@click.option("--image-size", type=click.IntRange(min=4), metavar="N", help="Scale and crop images to N×N pixels.")
@click.option("--download", is_flag=True, help="Fetch a known data set that isn't there.")
@click.option("--amp/--no-amp", default=None, help="Train in bfloat16.  [default: on a GPU only]")
@click.option("--overwrite", is_flag=True, help="Start anew where a run is in the way.")
@options.shared(out="runs", verb="training")
def train(**chosen: Any) -> None:  # noqa: ANN401 - click hands over what the options declare
    """Train networks, each into a directory below --out.

    MODEL is the name of a recipe (aigrob models lists them) or a path to one. Without MODEL it's the default pair:
    a gated ResNet and its plain twin, of a size that suits the images.
    """
    request = Request(**chosen)
    shown = console(quiet=request.quiet)
    try:
        jobs = _ladder_jobs(request, shown) if request.ladder else _jobs(request, shown)
        finished = [_train(job, request, shown) for job in jobs]
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted before the training began; try again: {options.command_line()}") from None
    if request.json:
        click.echo(json.dumps({"runs": [_as_json(job, record) for job, record in zip(jobs, finished, strict=True)]}))
    elif finished:
        stdout().print(_table(finished))


def _jobs(request: Request, shown: Console) -> list[Job]:
    """Everything that can be refused is refused here, before the first network is trained."""
    if request.resume and request.overwrite:
        raise InputError("--resume and --overwrite exclude each other: choose one")
    if request.name is not None and len(request.models) != 1:
        raise InputError("--name names one run: give exactly one MODEL with it")
    device = options.resolve_device(request.device)
    with reading(shown) as progress:
        data = load_data(
            request.data,
            seed=request.seed,
            image_size=request.image_size,
            download=request.download,
            progress=progress,
        )
        options.suit_threads(data.shape)
        _ = data.mean  # reads the training images, while the progress is shown
    for note in data.notes:
        shown.print(f"{data.name}: {note}", markup=False)
    jobs = [
        Job(
            directory=request.out / (request.name or _run_name(data, recipe_name, request.seed)),
            recipe_name=recipe_name,
            recipe=_with_epochs(recipe, request.epochs),
            data=data,
            seed=request.seed,
            device=device,
            image_size=request.image_size,
            amp=device.type == "cuda" if request.amp is None else request.amp,
            command=_command(),
        )
        for recipe_name, recipe in _recipes(request.models, data)
    ]
    if len({job.directory for job in jobs}) < len(jobs):
        raise InputError("two of the models would be one run: train them separately, with --name")
    for job in [] if request.overwrite else jobs:
        old = existing(job, resume=request.resume)
        if old is not None and old.status == "finished":
            shown.print(f"{job.directory} is already trained: kept as it is", markup=False)
    return jobs


def _ladder_jobs(request: Request, shown: Console) -> list[Job]:
    """Trainings of the controls that aren't there yet."""
    assert request.ladder is not None
    if request.models or request.epochs or request.image_size or request.overwrite or request.name:
        raise InputError("--ladder takes everything from the gated run: leave out MODEL and the options that change it")
    path = find_run(request.ladder, request.out)
    record = read_run(path)
    lacking = lacking_controls(record, path.parent)
    if not lacking:
        shown.print(f"all controls of {record.name} are there", markup=False)
        return []
    device = options.resolve_device(request.device)
    options.suit_threads(record.data.shape)
    with reading(shown) as progress:
        data = load_data(record.data.source, seed=record.data.seed, shape=record.data.shape, progress=progress)
    return [
        Job(
            directory=path.parent / _run_name(data, name, record.seed),
            recipe_name=name,
            recipe=recipe,
            data=data,
            seed=record.seed,
            device=device,
            image_size=record.data.image_size,
            amp=record.precision == "bf16",
            command=_command(),
        )
        for name, recipe in lacking
    ]


def _command() -> str:
    """What was typed; a command that trains on its way, like the demo, trains as plain `aigrob train` would."""
    typed = options.command_line()
    return typed if typed.startswith("aigrob train") else "aigrob train"


def _recipes(models: Sequence[str], data: DataSet) -> list[tuple[str, ModelRecipe]]:
    """The named recipes, or the pair that suits the size of the images."""
    family = "digits" if min(data.shape[1:]) < options.SMALL_SIDE else "cifar10"
    return [find_model(name, family) for name in models] or default_pair(family)


def _with_epochs(recipe: ModelRecipe, epochs: int | None) -> ModelRecipe:
    if epochs is None or recipe.training is None:
        return recipe
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": epochs})})


def _run_name(data: DataSet, recipe_name: str, seed: int) -> str:
    return re.sub(r"[^\w.-]+", "-", f"{data.name}-{recipe_name.rsplit('/', maxsplit=1)[-1]}-s{seed}")


def _train(job: Job, request: Request, shown: Console) -> RunRecord:
    if request.overwrite:
        clear_run(job.directory)
    try:
        return follow(train_network(job, resume=request.resume), job.directory.name, shown)
    except KeyboardInterrupt:
        raise Interrupted(
            f"{job.directory.name}: interrupted; finished epochs are in {job.directory}, go on with: "
            f"{job.command} --resume"
        ) from None


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
