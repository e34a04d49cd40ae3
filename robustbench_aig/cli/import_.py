"""`aigrob import`: a run directory from weights that were trained elsewhere."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from robustbench_aig.cli import options
from robustbench_aig.cli.progress import reading
from robustbench_aig.cli.terminal import console
from robustbench_aig.commands import aigrob
from robustbench_aig.data import DataSet, load_data
from robustbench_aig.errors import InputError, Interrupted
from robustbench_aig.files import safe_name, sha256_of
from robustbench_aig.models.importing import TARGET, Imported, Moments, import_state
from robustbench_aig.models.state import read_state
from robustbench_aig.recipes import ResNetRecipe
from robustbench_aig.runs import RECORD, RunRecord, spelled_run
from robustbench_aig.training.run_import import adopt

EXAMPLES = """\b
Examples:
  aigrob import model_best.pth.tar --data cifar10
      a checkpoint of the official ConvNet-AIG code
  aigrob import resnet50.safetensors --data imagenet/ --image-size 224
      torchvision's weights; imagenet/train/CLASS/*.jpg and imagenet/test/CLASS/*.jpg
  aigrob import ckpt.pth --data cifar10 --mean 0.4914,0.4822,0.4465 --std 0.2470,0.2435,0.2616 --name plain
      a plain network with the same tensor names and another normalisation
"""

_TYPICAL_SIDE = 224
"""Of the images that torchvision's weights were trained on."""

_CANNOT_TELL = (
    "If clean accuracy is as published, weights, classes and channels are right. That says little about mean and "
    "std: a wrong --std hardly changes clean accuracy but changes robust accuracy by points. Take both from the "
    "training code."
)


@dataclass(frozen=True)
class ImportRequest:
    """What the user asked for, as typed."""

    file: Path
    data: str
    image_size: int | None
    download: bool
    mean: str | None
    std: str | None
    target: float | None
    out: Path
    name: str | None
    overwrite: bool
    seed: int
    quiet: bool
    json: bool


@click.command("import", epilog=EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--data", required=True, metavar="NAME|DIR", help="Data set that it was trained on, as for aigrob train.")
@click.option("--image-size", type=click.IntRange(min=4), metavar="N", help="Scale and crop images to N×N pixels.")
@click.option("--download", is_flag=True, help="Download a known data set that is missing.")
@click.option(
    "--mean",
    metavar="R,G,B",
    help="Mean that its inputs were normalised with, in [0, 1].  [default: ImageNet's for torchvision's networks, else "
    "that of the official ConvNet-AIG code]",
)
@click.option("--std", metavar="R,G,B", help="Standard deviation that its inputs were normalised with.")
@click.option(
    "--target",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="T",
    help="Target execution rate of the gates, which weights do not contain; only for reports.  "
    f"[default: {TARGET}, the official code's]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=options.RUNS,
    show_default=True,
    help="Folder for the run.",
)
@click.option("--name", type=options.NAME, help="Name of the run.  [default: made up of data and network]")
@click.option("--overwrite", is_flag=True, help="Replace an existing run of the same name.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the validation split.")
@options.quiet_option
@options.json_option
def import_(**chosen: Any) -> None:  # noqa: ANN401 - click hands over what the options declare
    """Make a run from weights that were trained elsewhere, so that it can be attacked like any other run.

    FILE is a state dict, or a checkpoint that holds one, as .safetensors or as torch.save writes it: of the official
    ConvNet-AIG code, of a plain network with the same names, or of a residual network of torchvision.
    Depth and widths are read from its shapes. No code in FILE is executed, and nothing is scored. Logits are taken to
    be in the order of the data's classes.
    """
    request = ImportRequest(**chosen)
    shown = console(quiet=request.quiet)
    try:
        directory, record = _carry_out(request, shown)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; try again: {options.command_line()}") from None
    if request.json:
        click.echo(json.dumps({"runs": [{"directory": str(directory), **record.model_dump(mode="json")}]}))
    else:
        click.echo(_told(directory, record))


def _carry_out(request: ImportRequest, shown: Console) -> tuple[Path, RunRecord]:
    """What takes least time is refused first."""
    moments = _moments(request)
    state = read_state(request.file)
    try:
        imported = import_state(state, request.target)
    except InputError as error:
        raise InputError(f"{request.file}: {error}") from None
    with reading(shown) as progress:
        data = load_data(
            request.data,
            seed=request.seed,
            image_size=request.image_size,
            download=request.download,
            progress=progress,
        )
    for note in _notes(imported, data, request.image_size):
        shown.print(f"{data.name}: {note}", markup=False)
    directory = request.out / (request.name or safe_name(f"{data.name}-{imported.name}"))
    if (directory / RECORD).exists() and not request.overwrite:
        raise InputError(f"{directory} holds a run: --overwrite replaces it, --name chooses another directory")
    record = adopt(
        imported,
        data,
        directory,
        moments=moments,
        seed=request.seed,
        image_size=request.image_size,
        command=options.command_line(),
        origin=f"{request.file.name}, SHA-256 {sha256_of(request.file)}",
    )
    return directory, record


def _moments(request: ImportRequest) -> Moments | None:
    """Mean and standard deviation as typed; None for the network's own."""
    if request.mean is None and request.std is None:
        return None
    if request.mean is None or request.std is None:
        raise InputError("--mean and --std belong together: give both, or neither")
    mean, std = _numbers("--mean", request.mean), _numbers("--std", request.std)
    if min(std) <= 0:
        raise InputError(f"--std {request.std}: a standard deviation is above 0")
    return mean, std


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = (math.nan,)
    if not all(0 <= number <= 1 for number in numbers):
        raise InputError(
            f"{option} {text}: write one number per channel in units of the pixel range [0, 1], like "
            "0.4914,0.4822,0.4465 (divide by 255 what counts to 255)"
        )
    return numbers


def _notes(imported: Imported, data: DataSet, image_size: int | None) -> list[str]:
    """What was done to the images, and what should be."""
    small = (
        isinstance(imported.model, ResNetRecipe)
        and imported.model.stem == "imagenet"
        and min(data.shape[1:]) < _TYPICAL_SIDE
        and image_size is None
    )
    advice = f"such weights are for images of {_TYPICAL_SIDE} pixels; scale them with --image-size"
    return [*data.notes, *([advice] if small else [])]


def _told(directory: Path, record: RunRecord) -> str:
    """What was made, what was assumed, and how to go on."""
    gates = len(record.recipe.model.targets)
    mean, std = (", ".join(f"{number:.4f}" for number in numbers) for numbers in (record.data.mean, record.data.std))
    runs = options.runs_in(directory.parent)
    name = spelled_run(directory, directory.parent)
    lines = [
        f"{record.recipe_name}: {record.parameters:,} parameters, {len(record.data.classes)} classes"
        + (f", {gates} gates" if gates else ""),
        f"normalises images with mean {mean} and std {std} (--mean and --std change that)",
        f"run: {directory}",
        f"next: {options.next_attack([directory], eps='4/255', limit=100)}",
        f"next: {aigrob('inspect', name, **runs)}",
        _CANNOT_TELL,
    ]
    return "\n".join(lines)
