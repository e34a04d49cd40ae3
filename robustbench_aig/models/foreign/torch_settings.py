"""What a program has set for all of torch, left and restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch

from robustbench_aig.precision import float32


class Defaults(NamedTuple):
    """What tensors are made of where nothing is said.

    Attributes:
        dtype: torch's default dtype.
        device: torch's default device.
    """

    dtype: torch.dtype = torch.float32
    device: torch.device = torch.device("cpu")

    @classmethod
    def now(cls) -> Defaults:
        """As they are set."""
        return cls(torch.get_default_dtype(), torch.get_default_device())

    @contextmanager
    def set(self) -> Iterator[None]:
        """In force inside; what foreign code sets there, gradients switched off among it, doesn't stay."""
        before = Defaults.now()
        with ExitStack() as stack:
            stack.callback(before.put_back)
            stack.enter_context(torch.set_grad_enabled(torch.is_grad_enabled()))
            if before.device != self.device:
                stack.enter_context(self.device)
            if before.dtype != self.dtype:
                torch.set_default_dtype(self.dtype)
            yield

    def put_back(self) -> None:
        """In force from now on."""
        torch.set_default_dtype(self.dtype)
        if torch.get_default_device() != self.device:
            torch.set_default_device(None if self.device.type == "cpu" else self.device)


@contextmanager
def neutral() -> Iterator[None]:
    """Torch inside as in a program that has set nothing, but in full precision; with gradients."""
    with float32(), torch.enable_grad():
        yield
