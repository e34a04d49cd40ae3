"""The adapter for other people's gated networks: gates join the trace and obey the policy, the code stays theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from inspect import Parameter, signature
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robustbench_aig.errors import InputError
from robustbench_aig.gating import Gate

Read = Callable[..., Tensor]
Write = Callable[[Any, Tensor], Any]
NAME = "aigrob_gate"
"""Of the submodule that a network is adapted with."""


class ForeignGate(Gate):
    """Asks the policy in place of a network's own gates. It has no parameters, so the state dict stays as it was.

    `replace` is a forward hook of the gate modules. Being the bound method of a submodule, it follows a deep copy.

    Attributes:
        owner: what the network's class is called.
        gates: the modules that decide.
        blocks: for each decision the modules that it can skip; None where nobody knows.
        read: of three arguments, whatever `adapt` was given.

    Args:
        owner: the same.
        gates: the same.
        blocks: the same.
        read: as `adapt` was given it.
        write: see `adapt`.
    """

    outside: ClassVar[bool] = True

    def __init__(
        self,
        owner: str,
        gates: Sequence[nn.Module],
        blocks: Sequence[tuple[nn.Module, ...]] | None,
        read: Read,
        write: Write,
    ) -> None:
        super().__init__()
        self.owner = owner
        # Tuples, because modules in one aren't registered a second time.
        self.gates = tuple(dict.fromkeys(gates))
        self.blocks = None if blocks is None else tuple(blocks)
        self.read, self._write = _told_the_gate(read), write

    def replace(self, gate: nn.Module, inputs: tuple[Any, ...], output: object) -> object:
        """Forward hook of a foreign gate: what it returned, with the policy's decisions in place of its own."""
        if self.trace is None:
            return output
        difference = self.read(inputs, output, self.trace.gates)
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


def _told_the_gate(read: Read) -> Read:
    """`read` as a function of three arguments, whether it asks for the third or not."""
    try:
        parameters = signature(read).parameters
    except (TypeError, ValueError):  # some of C's have none
        return lambda inputs, output, _: read(inputs, output)
    if "gate" in parameters and parameters["gate"].kind is not Parameter.POSITIONAL_ONLY:
        return lambda inputs, output, gate: read(inputs, output, gate=gate)
    positional = {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}
    if sum(one.kind in positional and one.default is Parameter.empty for one in parameters.values()) > 2:
        return read
    return lambda inputs, output, _: read(inputs, output)


def only_logits(network: nn.Module, inputs: tuple[Any, ...], output: object) -> object:  # noqa: ARG001 - a hook
    """Forward hook of a network: the first entry where it returns several."""
    return output[0] if isinstance(output, tuple | list) else output


def adapt(
    model: nn.Module,
    *,
    gates: Sequence[nn.Module],
    blocks: Sequence[nn.Module | Sequence[nn.Module]] | None,
    read: Read,
    write: Write,
    shared: bool = False,
) -> nn.Module:
    """Let a gated network whose code is not ours be traced, attacked and measured like our own.

    Inside a `gating` context its gates compute as before, but the network uses the policy's decisions. Outside it
    decides as its own code does. It computes every block under either execution; its multiply-accumulates are
    counted as if closed blocks were skipped.

    The adapter is tested: when the network enters an evaluation, `models.adapter_trial` checks on some of the images
    that everything given here is true.

    Let `read` return logits if the network has them: a probability in float32 saturates, and so does its gradient.
    On CUDA, torch differentiates `nn.LSTM` and `nn.GRU` in eval mode only under `torch.backends.cudnn.enabled = False`.

    Args:
        model: images in [0, 1] to logits, or to a tuple that starts with them; afterwards its forward returns only
            the logits. It is changed in place by hooks and one submodule without parameters.
        gates: the modules that decide. A gate that several blocks share decides once for each block; name it
            once.
        blocks: for each decision, in the order in which they are made, the module or modules that it can skip; an
            empty sequence if a decision skips nothing. None if unknown: the compute is then unknown.
        read: from a gate module's positional inputs and its output to the logit difference D = run - skip, (B,), or
            (B, K) for a gate that makes K decisions in one call. D > 0 must mean that the network itself runs
            the block: for a probability p with threshold 0.5, `p.logit(1e-6)`. With a third parameter, or one named
            `gate`, it gets the number of the decision, from 0 in the order in which they are made; for K
            decisions the number of the first.
        write: from the gate module's output and the decisions z, of the shape of D, to what the network uses.
        shared: several decisions may name the same module, which then costs each of them an equal share.

    Returns:
        The same `model`.

    Raises:
        InputError: a gate or block is no part of the network, a module is named for two decisions, or the network is
            adapted already. `profile_macs` finds blocks that do not match the decisions.
    """
    grouped = None if blocks is None else [(b,) if isinstance(b, nn.Module) else tuple(b) for b in blocks]
    own = {module: name for name, module in model.named_modules()}
    for module in (*gates, *(member for group in grouped or () for member in group)):
        if module not in own:
            raise InputError(f"adapt: a {type(module).__name__} among gates and blocks is no part of the network")
    if any(isinstance(module, ForeignGate) for module in own):
        raise InputError(f"adapt: the {type(model).__name__} is adapted already")
    if not gates:
        raise InputError("adapt: name at least one gate")
    _refuse_twice(own, grouped or (), shared=shared)
    foreign = ForeignGate(type(model).__name__, gates, grouped, read, write)
    model.add_module(NAME, foreign)
    for gate in foreign.gates:
        gate.register_forward_hook(foreign.replace)
    model.register_forward_hook(only_logits)
    return model


def _refuse_twice(names: dict[nn.Module, str], groups: Iterable[tuple[nn.Module, ...]], *, shared: bool) -> None:
    """InputError where the cost of a module would be saved twice."""
    decisions: dict[nn.Module, list[int]] = {}
    for number, group in enumerate(groups):
        for module, times in Counter(group).items():
            if times > 1:
                raise InputError(f"adapt: block {number} names '{names[module]}' {times} times")
            decisions.setdefault(module, []).append(number)
    for module, numbers in decisions.items():
        if len(numbers) > 1 and not shared:
            raise InputError(
                f"adapt: '{names[module]}' is named for the decisions {', '.join(map(str, numbers))}: where one module "
                "does serve several, say shared=True"
            )
        for inner in module.modules():
            if inner is not module and inner in decisions:
                raise InputError(
                    f"adapt: '{names[inner]}' of decision {decisions[inner][0]} lies inside '{names[module]}' of "
                    f"decision {numbers[0]}: name a module once"
                )
