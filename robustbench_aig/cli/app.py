"""`aigrob`: its commands, loaded when they are called, and how errors reach the user."""

from __future__ import annotations

import errno
import gc
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import robustbench_aig
from robustbench_aig.cli.worker_processes import leads
from robustbench_aig.errors import AigrobError, InputError, Interrupted, printable, unknown
from robustbench_aig.files import unwritable

_CLI = "robustbench_aig.cli"
COMMANDS = {
    "demo": (f"{_CLI}.demo:demo", "Train the default pair on small images, attack it, write the report."),
    "train": (f"{_CLI}.train:train", "Train networks, by default a gated ResNet and its plain twin."),
    "attack": (f"{_CLI}.attack:attack", "Attack trained networks, write the sample table and the report."),
    "import": (f"{_CLI}.import_:import_", "Make a run of weights that were trained elsewhere."),
    "inspect": (f"{_CLI}.inspect:inspect", "Show which blocks a network executes, and how much each contributes."),
    "check": (f"{_CLI}.check:check", "Check whether robust accuracies can be trusted."),
    "report": (f"{_CLI}.report:report", "Render a report, or the page of a run, again."),
    "export": (f"{_CLI}.export:export_", "Write results in the format of RobustBench, a model hub, or as pictures."),
    "compare": (f"{_CLI}.compare:compare", "Compare two reports: which differences are significant?"),
    "leaderboard": (f"{_CLI}.leaderboard:leaderboard", "Rank the networks of many reports on one page."),
    "models": (f"{_CLI}.models:models", "List the networks that can be trained."),
    "attacks": (f"{_CLI}.attacks:attacks", "List the attacks and suites."),
    "bench": ("benchmarks.bench:bench", "Measure speed beside common alternatives; in a checkout."),
}
"""Name to target and help, so that `aigrob --help` needn't import what takes seconds."""

_FULL_OR_FORBIDDEN = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}

_UNNAMEABLE = {errno.ENAMETOOLONG, errno.ELOOP}
_SHOWN = 200
"""Letters of a name that is too long."""


class App(click.Group):
    """Loads a command when it's called, and tells every error in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The order in which a stranger meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        if not module.startswith(_CLI):
            _reach_checkout(cmd_name, module)
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but with the nearest name for an unknown one."""
        if args and args[0] not in COMMANDS:
            raise InputError(unknown("command", args[0], COMMANDS))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what was typed, for records and advice."""
        ctx.meta["aigrob.arguments"] = list(args)
        return super().parse_args(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,  # noqa: ANN401 - click's own signature
    ) -> Any:  # noqa: ANN401
        """Run and exit: 0 ok, 1 a failure or a failed check, 2 bad usage or input, 3 interrupted and resumable."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except Exception as error:
            if os.environ.get("AIGROB_DEBUG") == "1":
                raise
            line, code = _told(error)
            # torchrun interrupts the other processes as soon as the leader has ended, which tells why.
            if code != Interrupted.exit_code or leads():
                # In one line; what stands between the quotes of a command must stay as it is.
                parts = " ".join(part.strip() for part in line.splitlines() if part.strip())
                click.echo(f"aigrob: {printable(parts)}", err=True)
            sys.exit(code)
        sys.exit(result if isinstance(result, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever the command returns
        """Run a command; Ctrl-C becomes an error like any other."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; finished work is on disk") from None


def _reach_checkout(command: str, module: str) -> None:
    """Make a module that the wheel doesn't carry importable, from whatever directory, before anything of its name.

    Raises:
        InputError: aigrob wasn't installed from a checkout that is still there.
    """
    root = Path(robustbench_aig.__file__).parent.parent
    if not root.joinpath(*module.split(".")).with_suffix(".py").is_file():
        raise InputError(
            f"aigrob {command} isn't part of the installed package: clone the repository, pip install -e . in it, "
            "try again"
        )
    sys.path.insert(0, str(root))


def _told(error: Exception) -> tuple[str, int]:
    """An error's line and exit code."""
    match error:
        case AigrobError():
            told = str(error), error.exit_code
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "aigrob"
            told = f"{error.format_message()} (see {command} --help)", 2
        case click.ClickException():
            told = error.format_message(), 2
        case click.Abort():
            told = "interrupted", 3
        case OSError() if error.errno in _FULL_OR_FORBIDDEN | _UNNAMEABLE:
            told = _told_of_file(error), 2
        case MemoryError():
            told = f"out of memory: {error}" if str(error) else "out of memory", 2
        case _:
            where = "AIGROB_DEBUG=1 shows where; please report it"
            told = f"internal error, {type(error).__name__}: {error} ({where})", 1
    return told


def _told_of_file(error: OSError) -> str:
    if error.errno in _UNNAMEABLE:
        return f"{str(error.filename)[:_SHOWN]}: {error.strerror}"
    return str(unwritable(error.filename or "the output", error))


@click.group(
    cls=App,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  aigrob train                    the default pair, on small images, in a minute
  aigrob attack --eps 4/255       attack it and write the report
  aigrob train --help             all that a command can do
""",
)
@click.version_option(robustbench_aig.__version__, prog_name="aigrob")
@click.pass_context
def app(ctx: click.Context) -> None:
    """Attack gated networks, which decide per image which layers to run, and their plain twins."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """Entry point of the installed command."""
    # A letter that the terminal's encoding lacks, such as ε where that is ASCII, is spelled out and ends nothing.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # OpenMP threads that wait for each other by spinning make a shared machine several times slower; read once, when
    # torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Sparse execution meets every batch size, and oneDNN is to keep a kernel for each; read once, too.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "4096")
    # What takes seconds to import makes no garbage, and is searched for it at every 700 new objects, as Python has it.
    gc.set_threshold(50_000)
    # A scheduler that takes the machine away ends a command as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
