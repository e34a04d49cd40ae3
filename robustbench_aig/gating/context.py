"""One context manager sets the gate policy of a whole network and yields the trace of what its gates did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from robustbench_aig.gating.gate import Gate
from robustbench_aig.gating.policies import Policy
from robustbench_aig.gating.trace import Execution, Trace


@contextmanager
def gating(
    model: nn.Module,
    policy: Policy,
    *,
    execution: Execution = "dense",
    draws: int | None = None,
    patterns: bool = False,
) -> Iterator[Trace]:
    """Run `model` under a gate policy inside the block, and trace its gates; contexts may be nested.

    Args:
        model: the module that will be called; a plain network passes through with an empty trace.
        policy: how its gates decide.
        execution: "sparse" needs eval mode, because batch norm must not see only a part of the batch.
        draws: make as many draws of a random policy in one pass, in eval mode and without gradients, where
            `shares_draws(model)`; the network then returns rows of logits, and `trace.draws.each` those of each draw.
        patterns: evaluate all patterns of the gates' decisions, with each block run only where it is open, whatever
            the execution; for a policy that is `Independent`, in eval mode, where `shares_patterns(model)`. As for
            draws the network returns rows, and `trace.patterns.each` those of each pattern. Gradients reach the
            probabilities of the patterns, too.
    """
    trace = Trace(policy, execution, draws, patterns=patterns)
    gates = _gates(model)
    before = [gate.trace for gate in gates]
    hook = model.register_forward_pre_hook(lambda *_: trace.begin_pass())
    for gate in gates:
        gate.trace = trace
    try:
        yield trace
    finally:
        hook.remove()
        for gate, old in zip(gates, before, strict=True):
            gate.trace = old


def _gates(model: nn.Module) -> list[Gate]:
    """All gates of a network; one that has several places comes several times.

    An attack enters a context at every step, and `modules()`, which names what it finds, took a tenth of a deep
    network's pass over one image.
    """
    found, waiting = [], [model]
    while waiting:
        module = waiting.pop()
        if isinstance(module, Gate):
            found.append(module)
        waiting.extend(child for child in module._modules.values() if child is not None)  # noqa: SLF001 - see above
    return found
