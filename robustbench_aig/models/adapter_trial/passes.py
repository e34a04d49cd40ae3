"""Passes over a network with an adapter, and what its gates were read to say in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from robustbench_aig.errors import InputError, first_line
from robustbench_aig.gating import Argmax, Frozen, Policy, gating
from robustbench_aig.models.adapt import ForeignGate
from robustbench_aig.randomness import seeded

_ROUNDING, _NEAR = 1e-4, 1e-3
"""Of the largest logit, and of a difference's usual size; of a network in half precision more."""


_MOST = 0.85
"""Of the images, for a sentence on what is wrong."""


class Look(NamedTuple):
    """One pass.

    Attributes:
        logits: (B, classes).
        differences: (B, G) what `read` returned.
    """

    logits: Tensor
    differences: Tensor

    @property
    def decisions(self) -> Tensor:
        """(B, G) of argmax, 0 or 1."""
        return (self.differences > 0).float()


class Answer(NamedTuple):
    """What a gate was given and returned.

    Attributes:
        fine: whether any of it needs more bits than half precision has.
    """

    fine: bool


class Passes:
    """A network on some images, in eval mode, the random numbers of every pass being the same.

    Args:
        model: adapted.
        adapter: its only one.
        images: (B, C, H, W), at least one.

    Attributes:
        name: of the network, in messages.
        gates: the modules that decide.
        groups: for each decision the modules that it is said to skip; None where nobody knows.
        rounding: of logits, as a share of the largest, where the network computes the same in another order.
        near: so close to a threshold, as a share of a difference's usual size, rounding may decide.
        slack: by how much logits of two equal passes may differ: 0 but where a device adds in any order.
    """

    def __init__(self, model: nn.Module, adapter: ForeignGate, images: Tensor) -> None:
        self.model, self.images, self._adapter = model, images, adapter
        self.name = adapter.owner
        self.gates, self.groups = adapter.gates, adapter.blocks
        owner = next(module for module in model.modules() if adapter in module.children())
        self._names = {module: name for name, module in owner.named_modules()}
        self.slack, self.rounding, self.near = 0.0, _ROUNDING, _NEAR

    def own(self, x: Tensor, seed: int = 0) -> Tensor:
        """(B, classes) as the network's own code decides."""
        with torch.no_grad(), seeded(seed, x.device):
            logits: Tensor = self.model(x)
        return logits

    def under(self, policy: Policy, x: Tensor, seed: int = 0) -> Look:
        """One pass under a policy."""
        with torch.no_grad():
            return self.attached(policy, x, seed)

    def attached(self, policy: Policy, x: Tensor, seed: int = 0) -> Look:
        """The same with its graph."""
        heard = _Heard(policy, len(x))
        with seeded(seed, x.device), gating(self.model, heard):
            logits = self.model(x)
        return Look(logits, torch.stack(heard.said, 1))

    def answers(self) -> list[Answer]:
        """What stands behind each decision under argmax."""
        found: list[Answer] = []
        read = self._adapter.read

        def spied(inputs: tuple[Any, ...], output: object, gate: int) -> Tensor:
            difference = read(inputs, output, gate)
            seen = [each for each in tensors(output) if each.dim() and each.is_floating_point()]
            fine = not all(coarse(each) for each in (*seen, *tensors(inputs)))
            found.extend([Answer(fine)] * (1 if difference.dim() == 1 else difference.shape[1]))
            return difference

        self._adapter.read = spied
        try:
            self.under(Argmax(), self.images)
        finally:
            self._adapter.read = read
        return found

    def frozen(
        self, z: Tensor, x: Tensor, noisy: Iterable[nn.Module] = (), *, seed: int = 0, scale: float = 1.0
    ) -> Look:
        """One pass with given decisions, (G,) for all images or (B, G); noise as in `noise_from`."""
        z = z.expand(len(x), -1)
        try:
            with noise_from(noisy, seed, scale):
                return self.under(Frozen(z), x)
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - foreign code may fail in any way
            which = "all open" if z.all() else "some closed" if z.any() else "all closed"
            raise InputError(
                f"{self.name} fails with its gates {which}: {type(error).__name__}: {first_line(error)}"
            ) from None

    def same(self, one: Tensor, other: Tensor) -> Tensor:
        """(B,) bool, whether two (B, …) are equal row by row, bit for bit where the device is exact."""
        one, other = one.flatten(1), other.flatten(1)
        near = (one - other).abs() <= self.slack if self.slack else one == other
        return (near | (one.isnan() & other.isnan())).all(1)

    def agree(self, own: Tensor, logits: Tensor) -> Tensor:
        """(B,) bool, whether logits (B, classes) are the network's own but for rounding.

        Bit for bit would be too much: 1 + p - p, as straight-through estimators are often written, isn't 1.
        """
        near = (own - logits).abs().amax(1) <= self.rounding * own.abs().amax(1)
        return near | self.same(own, logits)

    def called(self, module: nn.Module) -> str:
        """Its name in the network."""
        return f"'{self._names[module]}'"


class _Heard(Policy):
    """Another policy, and what it was told."""

    name = "heard"

    def __init__(self, policy: Policy, images: int) -> None:
        self._policy, self._images = policy, images
        self.said: list[Tensor] = []

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """The other's decision."""
        difference = logits[:, 1] - logits[:, 0]
        if len(difference) != self._images:
            raise InputError(
                f"decision {gate} was made for {len(difference)} of {self._images} images: a gate must be asked for "
                "every image in every pass, read (B,) in the order of the images"
            )
        if isinstance(self._policy, Frozen) and gate >= self._policy.decisions.shape[1]:
            raise InputError(
                f"more than {gate} decisions are made under some decisions and {gate} under others: every gate must be "
                "asked in every pass"
            )
        self.said.append(difference)
        return self._policy.decide(logits, gate, draw)


@contextmanager
def noise_from(modules: Iterable[nn.Module], seed: int = 0, scale: float = 1.0) -> Iterator[None]:
    """Modules return noise of the size of what they computed, or of so many times as much."""
    generator = torch.Generator().manual_seed(seed)

    def instead(_: nn.Module, __: object, output: object) -> object:
        return mapped(output, lambda values: _noise(values, generator, scale))

    # Before an adapter's own hook, which takes a gate's output for what the network computed.
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(module.register_forward_hook(instead, prepend=True))
        yield


@contextmanager
def noise_into(modules: Iterable[nn.Module], seed: int, scale: float) -> Iterator[None]:
    """Modules are given noise of so many times the size of what came to them."""
    generator = torch.Generator().manual_seed(seed)

    def instead(_: nn.Module, inputs: object) -> object:
        return mapped(inputs, lambda values: _noise(values, generator, scale))

    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(module.register_forward_pre_hook(instead, prepend=True))
        yield


def mapped(output: Any, function: Callable[[Tensor], Tensor]) -> Any:  # noqa: ANN401 - whatever a module returns
    """The same with a function of every tensor of floating-point numbers in it."""
    if isinstance(output, Tensor):
        return function(output) if output.is_floating_point() else output
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*(mapped(each, function) for each in output))
    if isinstance(output, tuple | list):
        return type(output)(mapped(each, function) for each in output)
    if isinstance(output, dict):
        return {key: mapped(each, function) for key, each in output.items()}
    return output


def _noise(values: Tensor, generator: torch.Generator, scale: float) -> Tensor:
    size = values.detach().float().square().mean().sqrt().item() if values.numel() else 0.0
    noise = torch.randn(values.shape, generator=generator).to(values)
    return scale * noise * (size if 0 < size < float("inf") else 1.0) + 0.1


def coarse(values: Tensor) -> bool:
    """Whether half precision, of either kind, would hold them."""
    return any(torch.equal(values.to(kind).to(values.dtype), values) for kind in (torch.float16, torch.bfloat16))


def tensors(output: Any) -> Iterator[Tensor]:  # noqa: ANN401
    """All of them in what a module returned."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, tuple | list):
        for each in output:
            yield from tensors(each)
    elif isinstance(output, dict):
        for each in output.values():
            yield from tensors(each)


def mostly(mask: Tensor) -> bool:
    """Whether (B,) is True but for the few images that rounding may have moved over a threshold."""
    return mask.float().mean().item() > _MOST


class By(Policy):
    """A decision for every difference, by a function."""

    name = "by"

    def __init__(self, decide: Callable[[Tensor], Tensor]) -> None:
        self._decide = decide

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """(B,) of D."""
        return self._decide(logits[:, 1] - logits[:, 0]).to(logits)


class Other(Argmax):
    """Argmax, but for one decision, which is the other one.

    Args:
        gate: of which.
    """

    def __init__(self, gate: int) -> None:
        self._gate = gate

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """(B,) 0 or 1."""
        z = super().decide(logits, gate, draw)
        return 1 - z if gate == self._gate else z
