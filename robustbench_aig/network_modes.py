"""A network's modes and flags, kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; every submodule's own mode is restored after."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def frozen_in_eval_mode(model: nn.Module) -> Iterator[None]:
    """The same with parameters that need no gradient inside; every flag is restored, too."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(False)
    try:
        with in_eval_mode(model):
            yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
