"""Multiply-accumulates of a network: what always runs, and what each gate can skip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from robustbench_aig.errors import InputError, NetworkError, first_line
from robustbench_aig.gating import Gate, Open, gating
from robustbench_aig.models import counting
from robustbench_aig.models.adapt import ForeignGate
from robustbench_aig.models.foreign.wrapper import ForeignNetwork
from robustbench_aig.network_modes import in_eval_mode
from robustbench_aig.records import MacsUnknown
from robustbench_aig.threat import Shape


@dataclass(frozen=True)
class MacProfile:
    """Multiply-accumulates per image of convolutions, linear layers and attention (no batch-norm, ReLU, pooling).

    Attributes:
        fixed: what runs for every image, the gates themselves included.
        blocks: what each gated block costs when it runs, in the order of the gates.
        unknown: why none of it is known; None where it is.
    """

    fixed: int
    blocks: tuple[int, ...]
    unknown: MacsUnknown | None = None

    @classmethod
    def nobody_knows(cls, why: MacsUnknown, gates: int) -> MacProfile:
        """Of a network with so many gates."""
        return cls(0, (0,) * gates, why)

    @property
    def total(self) -> int:
        """With every gate open; only where it's known."""
        assert self.unknown is None
        return self.fixed + sum(self.blocks)

    def executed(self, decisions: Tensor) -> Tensor:
        """(B,) float64 multiply-accumulates for decisions (B, G), NaN where unknown; a soft decision runs its block."""
        if self.unknown:
            return decisions.new_full((len(decisions),), torch.nan, dtype=torch.float64)
        return self.fixed + (decisions != 0).to(torch.float64) @ self.costs(decisions.device)

    def costs(self, device: torch.device) -> Tensor:
        """(G,) float64 of the blocks, on a device; only where they're known."""
        assert self.unknown is None
        return _on(device, self.blocks)


class UnknownMacs(InputError):
    """There is no one count of a network, or it can't be had.

    Args:
        cause: why, for the record.
        text: the same in a sentence.
        decisions: that the network makes in a pass.
    """

    def __init__(self, cause: MacsUnknown, text: str, decisions: int = 0) -> None:
        super().__init__(text)
        self.cause, self.decisions = cause, decisions


@cache
def _on(device: torch.device, costs: tuple[int, ...]) -> Tensor:
    """(G,) on a device: copied there once, not at every pass."""
    return torch.tensor(costs, dtype=torch.float64, device=device)


def adapted_blocks(model: nn.Module) -> list[tuple[nn.Module, ...]]:
    """For each decision of an adapted network, in the order in which they are made, the modules that it can skip."""
    return [group for module in model.modules() if isinstance(module, ForeignGate) for group in module.blocks or ()]


def profile_macs(model: nn.Module, shape: Shape, images: Tensor | None = None) -> MacProfile:
    """Count multiply-accumulates on single images; a network that fails on one image gets it twice.

    Args:
        model: any network, ours, adapted or plain; in any mode, which is left as it was.
        shape: (C, H, W) of one image.
        images: (N, C, H, W) real ones, on the network's device. By default one black image, which suffices for
            networks that decide only by their gates, such as ours.

    Raises:
        UnknownMacs: images differ in cost with all gates open, so the network makes decisions for which no gate is
            known; it runs an operation whose cost isn't known; or blocks were named for no decision.
        InputError: the network fails; or the decisions that it makes and the blocks that gates are given, or that
            `adapt` was told, don't match.
    """
    if images is None:
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        images = torch.zeros(1, *shape, device=device)
    with in_eval_mode(model):
        counts = {_count(model, image) for image in torch.split(images, 1)}
    if len(counts) > 1:
        low, high = min(one.total for one in counts), max(one.total for one in counts)
        gates = len(next(iter(counts)).blocks)
        raise UnknownMacs(
            "differs",
            f"{_name(model)} runs between {low:,} and {high:,} multiply-accumulates for different images with "
            "all its gates open: it makes decisions that no gate is known of",
            gates,
        )
    return counts.pop()


def _count(model: nn.Module, image: Tensor) -> MacProfile:
    """Of one image (1, C, H, W), or half of the same twice where the network can't do with one."""
    failed: list[str] = []
    alone = isinstance(model, ForeignNetwork) and model.paired  # its wrapper would run it on two and show one
    for images in (image.repeat(2, 1, 1, 1),) if alone else (image, image.repeat(2, 1, 1, 1)):
        try:
            return _count_batch(model, images)
        except InputError as error:
            if not isinstance(error, NetworkError):
                raise
            failed.append(str(error))
        except Exception as error:  # noqa: BLE001 - foreign code may fail in any way
            failed.append(f"{type(error).__name__}: {first_line(error)}")
    raise NetworkError(
        f"the multiply-accumulates of {_name(model)} can't be counted, it fails on one image and on two: "
        f"{'; '.join(dict.fromkeys(failed))}"
    )


def _name(model: nn.Module) -> str:
    return model.name if isinstance(model, ForeignNetwork) else type(model).__name__


def _count_batch(model: nn.Module, images: Tensor) -> MacProfile:
    blocks = adapted_blocks(model)
    # A module that serves several decisions costs each of them an equal share.
    shares = Counter(module for group in blocks for module in group)
    with ExitStack() as stack:
        counter = stack.enter_context(counting.counting())
        trace = stack.enter_context(gating(model, Open()))
        calls = {module: stack.enter_context(counting.metered(module, counter)) for module in shares}
        own = stack.enter_context(_metered_residuals(model, counter))
        output = model(images)
    if not counting.leads(output, len(images)):
        raise ValueError(f"no row of logits for each of {len(images)} images")
    adapted = [sum(sum(calls[m]) // (shares[m] * len(images)) for m in group) for group in blocks]
    conditional = (*adapted, *(sum(each) // len(images) for each in own))
    _refuse_unknown(model, counter.uncounted, trace.gates)
    silent = [not all(calls[m] for m in group) for group in blocks] + [not each for each in own]
    if trace.gates != len(conditional) or (blocks and own):
        raise InputError(
            f"the gates of {_name(model)} made {trace.gates} decisions in one pass, but {len(conditional)} "
            "blocks are named: call a Gate as gate(x, skip, residual), or give adapt() an entry of `blocks` for each "
            "decision"
        )
    if any(silent):
        raise InputError(f"block {silent.index(True)} of {_name(model)} was never called: name the modules inside it")
    return MacProfile(counter.macs // len(images) - sum(conditional), conditional)


def _refuse_unknown(model: nn.Module, uncounted: set[str], decisions: int) -> None:
    name = _name(model)
    if any(isinstance(module, ForeignGate) and module.blocks is None for module in model.modules()):
        raise UnknownMacs(
            "unnamed",
            f"no block is named for any of the {decisions} decisions of {name}: give adapt() an entry of `blocks` for "
            "each",
            decisions,
        )
    if uncounted:
        raise UnknownMacs("uncounted", f"{name} runs {', '.join(sorted(uncounted))}, whose cost isn't known", decisions)


@contextmanager
def _metered_residuals(model: nn.Module, counter: counting.Counter) -> Iterator[list[list[int]]]:
    """What the residual branch of each gate costs, in the order in which gates are asked; a list for each gate."""
    found: list[list[int]] = []

    def wrapped(
        gate: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        given = signature(gate.forward).bind(*args, **kwargs)
        residual, calls = given.arguments["residual"], list[int]()
        found.append(calls)

        def metered(x: Tensor) -> Tensor:
            before = counter.macs
            out: Tensor = residual(x)
            calls.append(counter.macs - before)
            return out

        given.arguments["residual"] = metered
        return given.args, given.kwargs

    with ExitStack() as stack:
        for gate in model.modules():
            if isinstance(gate, Gate) and "residual" in signature(gate.forward).parameters:
                stack.enter_context(gate.register_forward_pre_hook(wrapped, with_kwargs=True))
        yield found
