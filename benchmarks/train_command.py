"""`aigrob bench train`: aigrob's steps, the loop that people write, and forward and backward alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks.command_parts import document, measuring, shown, table_of, with_interval
from robustbench_aig.cli import options
from robustbench_aig.cli.progress import counting, reading
from robustbench_aig.cli.terminal import console
from robustbench_aig.zoo import find_model

if TYPE_CHECKING:
    import torch

    from robustbench_aig.data import DataSet
    from robustbench_aig.training import Job

EXAMPLES = """\b
Examples:
  aigrob bench train
      ResNet-20 and its gated twin on random images
  aigrob bench train cifar10/aig110 --device cuda --pairs 21
  aigrob bench train --data photos/ --no-amp --json | jq '.models[].ratio_to_usual_loop'
"""

_DEFAULT = ("cifar10/resnet20", "cifar10/aig20")


@dataclass(frozen=True)
class BenchTrainRequest:
    """What the user asked for, as typed."""

    models: Sequence[str]
    data: str | None
    download: bool
    pairs: int
    steps: int | None
    amp: bool | None
    device: str
    quiet: bool
    json: bool


@click.command(epilog=EXAMPLES)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--data", metavar="NAME|DIR", help="digits, cifar10 or a folder of images.  [default: random images]")
@click.option("--download", is_flag=True, help="Fetch a known data set that isn't there.")
@measuring
@click.option(
    "--amp/--no-amp", default=None, help="Compute in bfloat16.  [default: where the hardware does, on real images]"
)
def train(**chosen: Any) -> None:  # noqa: ANN401 - click hands over what the options declare
    """Measure training: aigrob's steps, the loop that people write, and forward and backward alone.

    MODEL is the name of a recipe (aigrob models lists them) or a path to one. The three take turns in one process;
    a ratio is formed inside each round, and shown as its median with an exact interval. benchmarks/README.md says
    what the loop that people write is, and what it is spared here.
    """
    request = BenchTrainRequest(**chosen)
    said = console(quiet=request.quiet)
    shown(lambda: _measured(request, options.resolve_device(request.device), said), _table, as_json=request.json)


def _measured(request: BenchTrainRequest, device: torch.device, said: Console) -> dict[str, Any]:
    """The JSON document; all that can be refused is refused before the measuring begins."""
    import torch  # noqa: PLC0415 - takes seconds to import

    from benchmarks.train import measure  # noqa: PLC0415 - imports torch

    jobs = _jobs(request, device, said)
    found = []
    threads = torch.get_num_threads()
    for job in jobs:
        torch.set_num_threads(threads)
        options.suit_threads(job.data.shape)
        said.print(f"{job.recipe_name}: {request.pairs} rounds of three turns", markup=False)
        with counting(said, job.recipe_name) as progress:
            found.append(measure(job, pairs=request.pairs, steps=request.steps, progress=progress))
    return document(device, request.pairs, found)


def _jobs(request: BenchTrainRequest, device: torch.device, said: Console) -> list[Job]:
    """The trainings, by the preset that `aigrob train` takes on the device."""
    from benchmarks.train import make_job  # noqa: PLC0415
    from robustbench_aig.training import Hardware  # noqa: PLC0415

    recipes = [find_model(name, "cifar10") for name in request.models or _DEFAULT]
    data = None if request.data is None else _read(request.data, said, download=request.download)
    jobs = []
    for name, recipe in recipes:
        job = make_job(name, recipe.chosen(options.preset_for(device)), data)
        amp = options.precision_for(device, job.data.shape, amp=request.amp)
        jobs.append(replace(job, hardware=Hardware(device, amp=amp)))
    return jobs


def _read(source: str, said: Console, *, download: bool) -> DataSet:
    from robustbench_aig.data import load_data  # noqa: PLC0415

    with reading(said) as progress:
        data = load_data(source, seed=0, download=download, progress=progress)
        _ = data.mean  # reads the training images, while the progress is shown
    return data


def _table(found: dict[str, Any]) -> Table:
    """One line per model; ratios with their intervals."""
    columns = ("precision", "aigrob", "usual loop", "floor", "speed / usual loop", "time / floor")
    table = table_of(found, ["model"], columns, "Images per second, and two ratios")
    for model in found["models"]:
        speeds = [f"{model['images_per_second'][way]:,.0f}" for way in ("ours", "usual_loop", "floor")]
        ratios = [with_interval(model[key]) for key in ("ratio_to_usual_loop", "ratio_to_floor")]
        table.add_row(model["model"], model["precision"], *speeds, *ratios)
    return table
