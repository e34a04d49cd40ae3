"""Whether `write` hands the decisions on, and whether they may lie between 0 and 1."""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_aig.errors import InputError
from robustbench_aig.models.adapter_trial.passes import Passes


def without(gates: int, *closed: int) -> Tensor:
    """(G,) all open but some."""
    z = torch.ones(gates)
    z[list(closed)] = 0
    return z


def try_writing(passes: Passes, gates: int) -> None:
    """InputError where a decision that is said to skip something changes nothing."""
    x = passes.images
    opened, closed = (passes.frozen(torch.full((gates,), z), x).logits for z in (1.0, 0.0))
    if passes.same(opened, closed).all():
        raise InputError(
            f"write ignores the decisions: {passes.name} returns the same logits with all gates open and all closed"
        )
    for gate in range(gates):
        if passes.groups is not None and not passes.groups[gate]:
            continue
        alone = without(gates, *(other for other in range(gates) if other != gate))
        last = passes.same(opened, passes.frozen(without(gates, gate), x).logits).all()
        if last and passes.same(closed, passes.frozen(alone, x).logits).all():
            raise InputError(
                f"write ignores decision {gate}: {passes.name} returns the same logits whether it is open or closed"
            )


def softens(passes: Passes, gates: int) -> bool:
    """Whether every decision of 1/2 has another effect than 0 and than 1; False where the network rounds some."""
    x = passes.images
    try:
        return all(_between(passes, x, gates, gate) for gate in range(gates))
    except InputError:  # it fails, or asks other gates, at decisions that aren't 0 or 1
        return False


def _between(passes: Passes, x: Tensor, gates: int, gate: int) -> bool:
    z = without(gates, gate)
    opened, closed = passes.frozen(without(gates), x).logits, passes.frozen(z, x).logits
    z[gate] = 0.5
    half = passes.frozen(z, x).logits
    matters = ~passes.same(opened, closed)
    told = ~passes.same(half, opened) & ~passes.same(half, closed)
    return bool(told.any() or not matters.any())
