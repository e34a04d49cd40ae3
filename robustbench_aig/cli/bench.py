"""`aigrob bench`: what aigrob's speed is worth, measured beside what others do; needs a checkout."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import robustbench_aig
from robustbench_aig.cli import options
from robustbench_aig.cli.progress import counting, reading
from robustbench_aig.cli.terminal import console, stdout
from robustbench_aig.errors import InputError, Interrupted
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
class Request:
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


@click.group(invoke_without_command=True)
@click.pass_context
def bench(ctx: click.Context) -> None:
    """Measure speed as ratios between things that take turns in one process."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@bench.command(epilog=EXAMPLES)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--data", metavar="NAME|DIR", help="digits, cifar10 or a folder of images.  [default: random images]")
@click.option("--download", is_flag=True, help="Fetch a known data set that isn't there.")
@click.option(
    "--pairs", type=click.IntRange(min=9), default=9, show_default=True, metavar="N", help="How many times to compare."
)
@click.option(
    "--steps", type=click.IntRange(min=1), metavar="N", help="Of each turn.  [default: as many as take 1.5 seconds]"
)
@click.option(
    "--amp/--no-amp", default=None, help="Compute in bfloat16.  [default: where the hardware does, on real images]"
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes CUDA where there is one.",
)
@options.quiet_option
@options.json_option
def train(**chosen: Any) -> None:  # noqa: ANN401 - click hands over what the options declare
    """Measure training: aigrob's steps, the loop that people write, and forward and backward alone.

    MODEL is the name of a recipe (aigrob models lists them) or a path to one. The three take turns in one process;
    a ratio is formed inside each round, and shown as its median with an exact interval. benchmarks/README.md says
    what the loop that people write is, and what it is spared here.
    """
    request = Request(**chosen)
    _find_benchmarks()
    shown = console(quiet=request.quiet)
    try:
        found = _measured(request, options.resolve_device(request.device), shown)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; try again: {options.command_line()}") from None
    if request.json:
        click.echo(json.dumps(found))
    else:
        stdout().print(_table(found), highlight=False)


def _find_benchmarks() -> None:
    """Make benchmarks/ importable, from whatever directory, before anything else of that name.

    Raises:
        InputError: aigrob wasn't installed from a checkout that is still there.
    """
    root = Path(robustbench_aig.__file__).parent.parent
    if not (root / "benchmarks" / "pairs.py").is_file():
        raise InputError(
            "benchmarks aren't part of the installed package: clone the repository, pip install -e . in it, try again"
        )
    sys.path.insert(0, str(root))


def _measured(request: Request, device: torch.device, shown: Console) -> dict[str, Any]:
    """The JSON document; all that can be refused is refused before the measuring begins."""
    import torch  # noqa: PLC0415 - takes seconds to import

    from benchmarks.pairs import coverage, interval_rank  # noqa: PLC0415 - there in a checkout alone
    from benchmarks.train import measure  # noqa: PLC0415
    from robustbench_aig.environment import environment  # noqa: PLC0415

    jobs = _jobs(request, device, shown)
    found = []
    threads = torch.get_num_threads()
    for job in jobs:
        torch.set_num_threads(threads)
        options.suit_threads(job.data.shape)
        shown.print(f"{job.recipe_name}: {request.pairs} rounds of three turns", markup=False)
        with counting(shown, job.recipe_name) as progress:
            found.append(measure(job, pairs=request.pairs, steps=request.steps, progress=progress))
    enclosed = coverage(request.pairs, interval_rank(request.pairs))
    return {"environment": environment(device), "coverage": enclosed, "models": found}


def _jobs(request: Request, device: torch.device, shown: Console) -> list[Job]:
    """The trainings, by the preset that `aigrob train` takes on the device."""
    from benchmarks.train import make_job  # noqa: PLC0415
    from robustbench_aig.training import Hardware  # noqa: PLC0415

    recipes = [find_model(name, "cifar10") for name in request.models or _DEFAULT]
    data = None if request.data is None else _read(request.data, shown, download=request.download)
    jobs = []
    for name, recipe in recipes:
        job = make_job(name, recipe.chosen(options.preset_for(device)), data)
        amp = options.precision_for(device, job.data.shape, amp=request.amp)
        jobs.append(replace(job, hardware=Hardware(device, amp=amp)))
    return jobs


def _read(source: str, shown: Console, *, download: bool) -> DataSet:
    from robustbench_aig.data import load_data  # noqa: PLC0415

    with reading(shown) as progress:
        data = load_data(source, seed=0, download=download, progress=progress)
        _ = data.mean  # reads the training images, while the progress is shown
    return data


def _table(found: dict[str, Any]) -> Table:
    """One line per model; ratios with their intervals."""
    where, pairs = found["environment"], found["models"][0]["pairs"]
    caption = (
        f"Images per second, and two ratios: medians of {pairs} pairs, with {found['coverage']:.1%} intervals.\n"
        f"{where['device']}, {where['threads']} threads, torch {where['torch']}"
    )
    table = Table(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("model", no_wrap=True)
    for column in ("precision", "aigrob", "usual loop", "floor", "speed / usual loop", "time / floor"):
        table.add_column(column, justify="right", no_wrap=True)
    for model in found["models"]:
        speeds = [f"{model['images_per_second'][way]:,.0f}" for way in ("ours", "usual_loop", "floor")]
        ratios = [_with_interval(model[key]) for key in ("ratio_to_usual_loop", "ratio_to_floor")]
        table.add_row(model["model"], model["precision"], *speeds, *ratios)
    return table


def _with_interval(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} – {ratio['high']:.2f})"
