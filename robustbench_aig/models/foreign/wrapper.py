"""The wrapper that stands around a network that isn't ours wherever it is called."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from robustbench_aig.errors import InputError, NetworkError, first_line, lacks_memory
from robustbench_aig.gating import Gate
from robustbench_aig.models.foreign.answers import logits_in, ruled_out
from robustbench_aig.models.foreign.copying import numbers_kept
from robustbench_aig.models.foreign.torch_settings import Defaults
from robustbench_aig.precision import without_autocast
from robustbench_aig.records import HubRecord


class ForeignNetwork(nn.Module):
    """Somebody's network, called as ours are: images (B, C, H, W) in [0, 1], float32, to logits (B, classes), float32.

    It is given a copy of the images in the type and layout that it bears, so that what it does to them stays with it,
    and works under its own program's defaults, without an autocast that isn't its own. Classes that it rules out by
    -inf get a finite logit below all others.

    Args:
        network: with logits in what it returns, as `logits_in` finds them.
        name: what errors call it.
        defaults: of the program that it comes from; without any those that are set now.

    Attributes:
        dtype: of the images that it takes.
        channels_last: whether they are laid out so.
        in_place: whether it writes into what it is given.
        paired: whether an image that comes alone goes in twice, because the network can't do with one.
        classes: how many logits it returns; 0 before `enter`.
        restless: whether it answers twice differently, by dice of its own beside any gates.
        unattackable: why no gradient reaches the images; None where one does.
        hub: what a public hub says of its images; None where it comes from elsewhere.
        digest: SHA-256 of its weights before its first answer; "" before `enter`.
    """

    classes: int = 0
    in_place: bool = False
    restless: bool = False
    unattackable: str | None = None
    digest: str = ""
    hub: HubRecord | None = None

    def __init__(self, network: nn.Module, name: str, defaults: Defaults | None = None) -> None:
        super().__init__()
        self.network = network
        self.name = name
        self.defaults = defaults or Defaults.now()
        self.dtype = torch.float32
        self.channels_last = False
        self.paired = False
        self.training = network.training

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes).

        Raises:
            InputError: it fails, or returns something else than logits; naming it and the cause.
        """
        return ruled_out(self.answer(x))

    def answer(self, x: Tensor) -> Tensor:
        """The same with -inf where it rules a class out."""
        copied: Tensor = _Handed.apply(x, self.channels_last)
        lone = self.paired and len(x) == 1
        given = (copied.repeat(2, 1, 1, 1) if lone else copied).to(self.dtype)
        written = given._version  # noqa: SLF001 - torch's count of writes has no other name
        with _told(self.name, x), self.defaults.set(), without_autocast(), self._doubled(lone=lone):
            logits = logits_in(self.network(given))
        self.in_place = self.in_place or given._version > written  # noqa: SLF001
        return logits[:1].float() if lone else logits.float()

    def __deepcopy__(self, memo: dict[int, Any]) -> ForeignNetwork:
        """With what its parts have computed and keep as numbers: torch copies no history."""
        memo |= numbers_kept(self.network)
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        vars(copied).update(copy.deepcopy(vars(self), memo))
        return copied

    def extra_repr(self) -> str:
        """What it is called."""
        return self.name

    @contextmanager
    def _doubled(self, *, lone: bool) -> Iterator[None]:
        """Let gates decide once for an image that goes in twice."""
        traces = {gate.trace for gate in self.modules() if isinstance(gate, Gate) and gate.trace} if lone else set()
        for trace in traces:
            trace.twice = True
        try:
            yield
        finally:
            for trace in traces:
                trace.twice = False


@contextmanager
def _told(name: str, x: Tensor) -> Iterator[None]:
    """Every failure of foreign code as one line; what is about memory stays what it is, for that has its own remedy."""
    try:
        yield
    except (KeyboardInterrupt, MemoryError, torch.OutOfMemoryError):
        raise
    except InputError as error:
        raise InputError(f"{name} {error}" if not str(error).startswith(name) else str(error)) from None
    except BaseException as error:
        if lacks_memory(error):
            raise
        raise failure(name, x, error) from error


def failure(name: str, x: Tensor, error: BaseException) -> NetworkError:
    """The line for a network that fails on images (B, C, H, W)."""
    shape = "×".join(map(str, x.shape[1:]))
    said = first_line(error) if str(error) else "without a message"
    return NetworkError(f"{name} fails on images of {shape}, {len(x)} at once: {type(error).__name__}: {said}")


class _Handed(torch.autograd.Function):
    """A copy of images in the layout that a network bears; gradients come back in the images' own."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, channels_last: bool) -> Tensor:
        return x.clone(memory_format=torch.channels_last if channels_last else torch.contiguous_format)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, bool], output: Tensor) -> None:  # noqa: ANN401, ARG004 - torch's
        ctx.channels_last = inputs[0].is_contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        layout = torch.channels_last if ctx.channels_last else torch.contiguous_format
        return gradients[0].contiguous(memory_format=layout), None
