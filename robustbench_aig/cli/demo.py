"""`aigrob demo`: the whole job on the embedded digits."""

from __future__ import annotations

import click

from robustbench_aig.cli import options
from robustbench_aig.cli.attack import attack
from robustbench_aig.cli.train import train
from robustbench_aig.errors import Interrupted
from robustbench_aig.run_names import run_name
from robustbench_aig.zoo import default_pair


@click.command(epilog="\b\nExample:\n  aigrob demo\n")
@options.quiet_option
@click.pass_context
def demo(ctx: click.Context, *, quiet: bool) -> None:
    """Train the default pair on the built-in digits, attack it, write the report.

    Finished parts of an earlier demo are not repeated.
    """
    trained = tuple(run_name("digits", name, (), 0) for name, _ in default_pair("digits", "cpu"))
    try:
        ctx.invoke(train, resume=True, quiet=quiet)
        ctx.invoke(attack, runs=trained, resume=True, quiet=quiet)
    except Interrupted:
        raise Interrupted("interrupted; finished work is kept, continue with: aigrob demo") from None
