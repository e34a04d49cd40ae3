"""Multiply-accumulates of a network: what always runs, and what each gate can skip."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from robustbench_aig.errors import InputError
from robustbench_aig.gating import Open, gating
from robustbench_aig.models.adapt import ForeignGate
from robustbench_aig.models.gated_resnet import GatedBlock
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


def gated_modules(model: nn.Module) -> list[tuple[nn.Module, ...]]:
    """For each decision of a network, in the order in which they are made, the modules that it can skip."""
    found: list[tuple[nn.Module, ...]] = []
    for module in model.modules():
        if isinstance(module, ForeignGate):
            found.extend(module.blocks)
        elif isinstance(module, GatedBlock):
            found.append((module.residual,))
    return found


def profile_macs(model: nn.Module, shape: tuple[int, int, int]) -> MacProfile:
    """Count on the meta device, without computing anything.

    A network that can't run there, say because it looks at values to decide what to call, computes one black image
    on its own device instead. `nn.LSTM` is then counted as nothing, its fused kernels being unknown to torch's
    counter; `nn.LSTMCell` is always counted.

    Args:
        model: any network, ours, adapted or plain; in any mode, which is left as it was.
        shape: (C, H, W) of one image.

    Raises:
        InputError: the decisions that the network makes and the blocks that `adapt` was told don't match.
    """
    try:
        counted = copy.deepcopy(model).to("meta").eval()
        return _count(counted, torch.empty(1, *shape, device="meta"))
    except (RuntimeError, TypeError):  # torch raises either for a value that isn't there
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with in_eval_mode(model):
        return _count(model, torch.zeros(1, *shape, device=device))


def _count(model: nn.Module, image: Tensor) -> MacProfile:
    blocks = gated_modules(model)
    # A module that serves several decisions costs each of them an equal share.
    shares = Counter(module for group in blocks for module in group)
    with ExitStack() as stack:
        counter = stack.enter_context(FlopCounterMode(display=False))
        trace = stack.enter_context(gating(model, Open()))
        stack.enter_context(torch.no_grad())
        costs = {module: stack.enter_context(_metered(module, counter)) for module in shares}
        model(image)
        if trace.gates != len(blocks):
            raise InputError(
                f"the gates of {type(model).__name__} made {trace.gates} decisions in one pass, but {len(blocks)} "
                f"blocks are named: adapt() needs one entry of `blocks` for each decision"
            )
        for position, group in enumerate(blocks):
            if not all(costs[module] for module in group):
                raise InputError(
                    f"block {position} of {type(model).__name__} was never called: name the modules inside it"
                )
        # torch counts a multiply-accumulate as two operations.
        conditional = tuple(sum(sum(costs[m]) // (2 * shares[m]) for m in group) for group in blocks)
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
