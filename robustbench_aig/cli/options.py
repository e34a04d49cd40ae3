"""Options that mean the same in every command."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from robustbench_aig.cli.worker_processes import is_companion
from robustbench_aig.commands import Value, aigrob, spelled
from robustbench_aig.errors import InputError
from robustbench_aig.files import LONGEST, unsayable
from robustbench_aig.norms import BALLS, DEFAULT
from robustbench_aig.policy_traits import DETERMINISTIC, POLICIES
from robustbench_aig.records import EXACT, Draws
from robustbench_aig.runs import spelled_run
from robustbench_aig.threat import Shape, Threat, known_norm

if TYPE_CHECKING:
    import torch

    from robustbench_aig.recipes import Preset

SMALL_SIDE = 24
"""Images with a shorter side below this many pixels get the digits' recipes, and one thread."""

RUNS = Path("runs")
"""Where runs are written, and looked for."""

F = TypeVar("F", bound=Callable[..., Any])


def count(text: str, what: str = "no whole number") -> int:
    """How many of something: at least one."""
    try:
        number = int(text)
    except ValueError:
        raise click.BadParameter(f"'{text}' is {what}") from None
    if number < 1:
        raise click.BadParameter(f"must be at least 1, got {number}")
    return number


def draws(text: str) -> Draws:
    """A number, or the word exact."""
    return EXACT if text == EXACT else count(text, "neither a number nor 'exact'")


def ball(text: str) -> Threat:
    """A radius, as a threat of the norm that the command was given: `norm_option` is read before."""
    return Threat.parse(text, click.get_current_context().params.get("norm", DEFAULT))


def radii(threats: Sequence[Threat]) -> str:
    """As they were written, for a help text."""
    return ", ".join(threat.eps for threat in threats)


norm_option = click.option(
    "--norm",
    type=known_norm,
    default=DEFAULT,
    show_default=True,
    is_eager=True,  # before --eps, wherever it stands
    metavar="NORM",
    help=f"Of the balls: {', '.join(BALLS)}.",
)
_FOLDER = click.Path(file_okay=False, path_type=Path)


class _Name(click.ParamType[str]):
    """The name of one folder: refused before anything is computed where a report or another system couldn't bear it."""

    name = "NAME"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is."""
        wrong = unsayable(value) or _wrong(value)
        if wrong:
            self.fail(f"{value!a} {wrong}: it becomes the name of a folder", param, ctx)
        return value


def _wrong(name: str) -> str | None:
    if set("/\\") & set(name):
        return "has a slash"
    if not name.strip() or name.startswith("."):
        return "is empty, or begins with a dot"
    return f"has more than {LONGEST} bytes" if len(name.encode()) > LONGEST else None


NAME = _Name()
json_option = click.option("--json", is_flag=True, help="One JSON document on stdout instead of tables.")
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Device; auto takes CUDA if there is one.",
)
quiet_option = click.option("--quiet", is_flag=True, help="No progress on stderr.")
images_option = click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="LIST",
    help="A text file with one test image per line, as CLASS/FILE or by its position from 0. All of them are used "
    "unless --limit is given.",
)
runs_option = click.option(
    "--runs",
    "runs_root",
    type=click.Path(path_type=Path),
    default=RUNS,
    show_default=True,
    help="Folder with the runs.",
)
moved_data_option = click.option(
    "--data", metavar="NAME|DIR", help="Folder of the images, if they have moved since the training."
)
defence_option = click.option(
    "--defence",
    "defences",
    multiple=True,
    default=("none",),
    show_default=True,
    metavar="NAME",
    help="Defence in front of every network, repeatable in aigrob attack: jpeg:75, none. Gradients treat it as the "
    "identity.",
)
policy_option = click.option(
    "--policy",
    metavar="NAME",
    help=f"How the gates decide: {', '.join(name for name, does in POLICIES.items() if not does.leaks)}.  "
    f"[default: {DETERMINISTIC}; expected for stochastic depth]",
)


def shared(*, out: str | None, verb: str, limit: int | None = None, resume: bool = True) -> Callable[[F], F]:
    """Options of the commands that work for long.

    The command gets `seed, device, quiet, json`, and `out` and `name`, `limit`, and `resume` where they are left in.

    Args:
        out: default folder for what is written; None where nothing is.
        verb: what the command does, for the help.
        limit: default number of images; None leaves the option out.
        resume: whether the command can go on where it was interrupted.
    """
    several = [
        click.option("--seed", type=int, default=0, show_default=True, help="Seed of all randomness."),
        device_option,
        quiet_option,
        json_option,
    ]
    if limit is not None:
        text = f"{verb.capitalize()} the first N images of a fixed, seeded order."
        several.insert(2, click.option("--limit", type=count, default=limit, show_default=True, metavar="N", help=text))

    if resume:
        text = f"Continue an interrupted {verb}; leave a finished one as it is."
        several.insert(-2, click.option("--resume", is_flag=True, help=text))
    if out is not None:
        text = "Folder for the results."
        several = [
            click.option("--out", type=_FOLDER, default=Path(out), show_default=True, help=text),
            click.option("--name", type=NAME, help="Name of the directory below --out.  [default: a generated one]"),
            *several,
        ]

    def decorate(command: F) -> F:
        for option in reversed(several):
            command = option(command)
        return command

    return decorate


def own_options(command: F) -> F:
    """Networks of the user's own: the command gets `factories` and `weights`."""
    weights = click.option(
        "--weights",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="State dict of the --model at the same position: .safetensors, or saved by torch. No code is executed.",
    )
    model = click.option(
        "--model",
        "factories",
        multiple=True,
        metavar="PKG.MODULE:FACTORY",
        help="A network of your own, repeatable in aigrob attack: a function that returns an nn.Module from images in "
        "[0, 1] to logits. Or one of a hub: timm:NAME, hf:OWNER/REPO, or hub:OWNER/REPO:NAME, which runs its code. "
        "Needs --data if no RUN is named.",
    )
    return model(weights(command))


def resolve_device(name: str) -> torch.device:
    """`auto`, `cpu` or `cuda` to a device; InputError where CUDA is asked for and missing."""
    import torch  # noqa: PLC0415 - commands that compute nothing start without it

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: there is no CUDA device; use --device cpu or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def preset_for(device: torch.device) -> Preset:
    """What a recipe's training takes time for: long on a GPU, short on a CPU."""
    return "long" if device.type == "cuda" else "short"


def precision_for(device: torch.device, shape: Shape, *, amp: bool | None) -> bool:
    """Whether to train on images (C, H, W) in bfloat16: as asked, else where the hardware does and it's worth it."""
    from robustbench_aig.training.hardware import computes_bf16  # noqa: PLC0415 - imports torch

    return computes_bf16(device) and min(shape[1:]) >= SMALL_SIDE if amp is None else amp


def suit_threads(shape: Shape) -> None:
    """Compute small images (C, H, W) on one thread, unless OMP_NUM_THREADS says otherwise.

    Several threads wait for each other after every layer. Where a layer takes microseconds that gains nothing on
    an idle machine, and on a busy one it costs a factor of fifty.
    """
    import torch  # noqa: PLC0415

    if min(shape[1:]) < SMALL_SIDE and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def share_threads(processes: int) -> None:
    """Leave each of several processes on this machine its part of the threads, unless OMP_NUM_THREADS is set."""
    import torch  # noqa: PLC0415

    if processes > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // processes))


def next_attack(runs: Sequence[Path], **chosen: Value) -> str:
    """The command that attacks runs of one folder."""
    root = runs[0].parent
    names = [spelled_run(run, root) for run in runs]
    return aigrob("attack", *names, **chosen, **runs_in(root))


def runs_in(root: Path) -> dict[str, Value]:
    """The option that names a folder of runs, where that isn't the default."""
    return {} if root == RUNS else {"runs": root}


def typed() -> list[str]:
    """The arguments of `aigrob`, as they were typed."""
    arguments: list[str] = click.get_current_context().meta["aigrob.arguments"]
    return arguments


def command_line() -> str:
    """What was typed, without --resume and --overwrite: the command that the result is the result of."""
    kept = (a for a in typed() if a not in ("--resume", "--overwrite"))
    return spelled([*_launcher(), *kept])


def _launcher() -> list[str]:
    """What starts the command: under torchrun the other processes belong to it."""
    if is_companion() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ["aigrob"]
    nodes, processes = os.environ.get("GROUP_WORLD_SIZE", "1"), os.environ.get("LOCAL_WORLD_SIZE", "1")
    several = [] if nodes == "1" else ["--nnodes", nodes]
    return ["torchrun", *several, "--nproc-per-node", processes, "-m", "robustbench_aig.cli"]
