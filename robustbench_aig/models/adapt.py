"""The adapter for other people's gated networks: gates join the trace and obey the policy, the code stays theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustbench_aig.errors import InputError
from robustbench_aig.gating import Gate

Read = Callable[[tuple[Any, ...], Any], Tensor]
Write = Callable[[Any, Tensor], Any]
NAME = "aigrob_gate"
"""Of the submodule that a network is adapted with."""


class ForeignGate(Gate):
    """Asks the policy in place of a network's own gates. It has no parameters, so the state dict stays as it was.

    `replace` is a forward hook of the gate modules. Being the bound method of a submodule, it follows a deep copy.

    Args:
        blocks: for each decision the modules that it can skip.
        read: see `adapt`.
        write: see `adapt`.
    """

    def __init__(self, blocks: Sequence[tuple[nn.Module, ...]], read: Read, write: Write) -> None:
        super().__init__()
        # A tuple, because modules in one aren't registered a second time.
        self.blocks = tuple(blocks)
        self._read, self._write = read, write

    def replace(self, gate: nn.Module, inputs: tuple[Any, ...], output: object) -> object:
        """Forward hook of a foreign gate: what it returned, with the policy's decisions in place of its own."""
        if self.trace is None:
            return output
        difference = self._read(inputs, output)
        if difference.dim() not in (1, 2):
            raise InputError(
                f"read must return (B,) or (B, K), got {tuple(difference.shape)} from {type(gate).__name__}"
            )
        columns = difference.view(len(difference), -1).unbind(1)
        z = torch.stack([self.decide(torch.stack([torch.zeros_like(d), d], 1)) for d in columns], 1)
        return self._write(output, z.view_as(difference))

    def forward(self, x: Tensor, *_: object) -> Tensor:
        """`x` itself: only a network that is an `nn.Sequential` calls this, taking it for a layer."""
        return x


def only_logits(network: nn.Module, inputs: tuple[Any, ...], output: object) -> object:  # noqa: ARG001 - a hook
    """Forward hook of a network: the first entry where it returns several."""
    return output[0] if isinstance(output, tuple | list) else output


def adapt(
    model: nn.Module,
    *,
    gates: Sequence[nn.Module],
    blocks: Sequence[nn.Module | Sequence[nn.Module]],
    read: Read,
    write: Write,
) -> nn.Module:
    """Let a gated network whose code is not ours be traced, attacked and measured like our own.

    Inside a `gating` context its gates are asked as ever, but the network goes on with the policy's decisions.
    Outside one it decides as its own code does. It computes densely under either execution; its
    multiply-accumulates are those that its decisions would leave to be done.

    Give `read` the logits where the network has them: a probability in float32 saturates, and so does its gradient.
    On CUDA, torch differentiates `nn.LSTM` and `nn.GRU` in eval mode only under `torch.backends.cudnn.enabled = False`.

    Args:
        model: images in [0, 1] to logits, or to a tuple that begins with them; its forward is left returning the
            logits alone. It is changed in place by hooks and one submodule without parameters.
        gates: the modules that decide. One that all blocks share is asked once for each block, however often it is
            named here.
        blocks: for each decision, in the order in which they are made, the module or modules that it can skip; an
            empty sequence where a decision skips nothing.
        read: from a gate module's positional inputs and its output to the logit difference D = run - skip, (B,), or
            (B, K) for a gate that makes K decisions in one call. D > 0 must be where the network itself runs the
            block: for a probability p with threshold 0.5, `p.logit(1e-6)`.
        write: from the gate module's output and the decisions z, shaped as D, to what the network goes on with.

    Returns:
        The same `model`.

    Raises:
        InputError: a gate or block is no part of the network, or it is adapted already. Blocks that don't match the
            decisions come to light in `profile_macs`.
    """
    grouped = [(block,) if isinstance(block, nn.Module) else tuple(block) for block in blocks]
    own = set(model.modules())
    for module in (*gates, *(member for group in grouped for member in group)):
        if module not in own:
            raise InputError(f"adapt: a {type(module).__name__} among gates and blocks is no part of the network")
    if any(isinstance(module, ForeignGate) for module in own):
        raise InputError(f"adapt: the {type(model).__name__} is adapted already")
    foreign = ForeignGate(grouped, read, write)
    model.add_module(NAME, foreign)
    for gate in dict.fromkeys(gates):
        gate.register_forward_hook(foreign.replace)
    model.register_forward_hook(only_logits)
    return model
