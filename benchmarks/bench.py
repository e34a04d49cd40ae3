"""`aigrob bench`: what aigrob's speed is worth, measured beside what others do; needs a checkout."""

from __future__ import annotations

import click

from benchmarks.attack_command import attack
from benchmarks.inference_command import inference
from benchmarks.train_command import train


@click.group(invoke_without_command=True)
@click.pass_context
def bench(ctx: click.Context) -> None:
    """Measure speed as ratios between things that take turns in one process."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _command in (train, inference, attack):
    bench.add_command(_command)
