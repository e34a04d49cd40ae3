"""Multiply-accumulates of a network: what always runs, and what each gate can skip."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from robustbench_aig.errors import InputError
from robustbench_aig.gating import Gate, Open, gating
from robustbench_aig.models.adapt import ForeignGate
from robustbench_aig.modes import in_eval_mode


@dataclass(frozen=True)
class MacProfile:
    """Multiply-accumulates per image of convolutions and linear layers (batch-norm, ReLU, pooling not counted).

    Attributes:
        fixed: what runs for every image, the gates themselves included.
        blocks: what each gated block costs when it runs, in the order of the gates.
    """

    fixed: int
    blocks: tuple[int, ...]

    @property
    def total(self) -> int:
        """With every gate open."""
        return self.fixed + sum(self.blocks)

    def executed(self, decisions: Tensor) -> Tensor:
        """(B,) float64 multiply-accumulates for decisions (B, G); a soft decision runs its block in full."""
        return self.fixed + (decisions != 0).to(torch.float64) @ self.costs(decisions.device)

    def costs(self, device: torch.device) -> Tensor:
        """(G,) float64 of the blocks, on a device."""
        return _on(device, self.blocks)


@cache
def _on(device: torch.device, costs: tuple[int, ...]) -> Tensor:
    """(G,) on a device: copied there once, not at every pass."""
    return torch.tensor(costs, dtype=torch.float64, device=device)


def adapted_blocks(model: nn.Module) -> list[tuple[nn.Module, ...]]:
    """For each decision of an adapted network, in the order in which they are made, the modules that it can skip."""
    return [group for module in model.modules() if isinstance(module, ForeignGate) for group in module.blocks]


def profile_macs(model: nn.Module, shape: tuple[int, int, int]) -> MacProfile:
    """Count on the meta device, without computing anything.

    A network that can't run there, say because it looks at values to decide what to call, computes one black image
    on its own device instead. `nn.LSTM` is then counted as nothing, its fused kernels being unknown to torch's
    counter; `nn.LSTMCell` is always counted.

    Args:
        model: any network, ours, adapted or plain; in any mode, which is left as it was.
        shape: (C, H, W) of one image.

    Raises:
        InputError: the decisions that the network makes and the blocks that gates are given, or that `adapt` was told,
            don't match.
    """
    try:
        counted = copy.deepcopy(model).to("meta").eval()
        return _count(counted, torch.empty(1, *shape, device="meta"))
    except (RuntimeError, TypeError):  # torch raises either for a value that isn't there
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with in_eval_mode(model):
        return _count(model, torch.zeros(1, *shape, device=device))


def _count(model: nn.Module, image: Tensor) -> MacProfile:
    blocks = adapted_blocks(model)
    # A module that serves several decisions costs each of them an equal share.
    shares = Counter(module for group in blocks for module in group)
    with ExitStack() as stack:
        counter = stack.enter_context(FlopCounterMode(display=False))
        trace = stack.enter_context(gating(model, Open()))
        stack.enter_context(torch.no_grad())
        calls = {module: stack.enter_context(_metered(module, counter)) for module in shares}
        own = stack.enter_context(_metered_residuals(model, counter))
        model(image)
    # torch counts a multiply-accumulate as two operations.
    adapted = [sum(sum(calls[m]) // (2 * shares[m]) for m in group) for group in blocks]
    conditional = (*adapted, *(sum(each) // 2 for each in own))
    silent = [not all(calls[m] for m in group) for group in blocks] + [not each for each in own]
    if trace.gates != len(conditional) or (blocks and own):
        raise InputError(
            f"the gates of {type(model).__name__} made {trace.gates} decisions in one pass, but {len(conditional)} "
            "blocks are named: call a Gate as gate(x, skip, residual), or give adapt() an entry of `blocks` for each "
            "decision"
        )
    if any(silent):
        raise InputError(
            f"block {silent.index(True)} of {type(model).__name__} was never called: name the modules inside it"
        )
    return MacProfile(counter.get_total_flops() // 2 - sum(conditional), conditional)


@contextmanager
def _metered(module: nn.Module, counter: FlopCounterMode) -> Iterator[list[int]]:
    """What each call of a module costs inside the context, in operations."""
    calls: list[int] = []

    def before(*_: object) -> None:
        calls.append(-counter.get_total_flops())

    def after(*_: object) -> None:
        calls[-1] += counter.get_total_flops()

    with module.register_forward_pre_hook(before), module.register_forward_hook(after):
        yield calls


@contextmanager
def _metered_residuals(model: nn.Module, counter: FlopCounterMode) -> Iterator[list[list[int]]]:
    """What the residual branch of each gate costs, in the order in which gates are asked; a list for each gate."""
    found: list[list[int]] = []

    def wrapped(
        gate: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        given = signature(gate.forward).bind(*args, **kwargs)
        residual, calls = given.arguments["residual"], list[int]()
        found.append(calls)

        def metered(x: Tensor) -> Tensor:
            before = counter.get_total_flops()
            out: Tensor = residual(x)
            calls.append(counter.get_total_flops() - before)
            return out

        given.arguments["residual"] = metered
        return given.args, given.kwargs

    with ExitStack() as stack:
        for gate in model.modules():
            if isinstance(gate, Gate) and "residual" in signature(gate.forward).parameters:
                stack.enter_context(gate.register_forward_pre_hook(wrapped, with_kwargs=True))
        yield found
