"""float32 that is float32: one context in which torch computes as if nobody had set anything, and in full precision.

torch lets convolutions on a GPU run in TF32 unless told otherwise: ten bits of mantissa, under which margins of gated
networks move by whole units. A program may set more: TF32 or bfloat16 for products, autocast, another default type or
device, cuDNN's search for the fastest sum. What is recorded as float32 is computed in here, whatever was set before.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch

IEEE = "ieee"
"""What the record of an environment says of what is computed inside."""

_AUTOCAST = ("cpu", "cuda", "mps", "xpu")
_SETTINGS = (
    ("generic", "all"),
    *((backend, operation) for backend in ("cuda", "mkldnn") for operation in ("all", "matmul", "conv", "rnn")),
)
"""torch's settings of what float32 may be computed in, since 2.9: each holds for those below it that say nothing."""

T = TypeVar("T")


@contextmanager
def float32() -> Iterator[None]:
    """Inside, float32 means float32, repeatably; outside, all is as before, whatever happens.

    Products and convolutions are in IEEE precision on every device; autocast and inference mode are left; new tensors
    are float32 on the CPU where nothing is said; cuDNN takes one algorithm, whose sums have a fixed order. It may be
    nested, and stand before a function as a decorator.
    """
    with ExitStack() as stack:
        _products(stack)
        _repeatable(stack)
        stack.enter_context(without_autocast())
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(mode=False))
        if torch.get_default_device() != torch.device("cpu"):
            stack.enter_context(torch.device("cpu"))
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
        yield


@contextmanager
def without_autocast() -> Iterator[None]:
    """No autocast inside, whatever is on around it; one that is switched on inside, and not off, doesn't stay."""
    with ExitStack() as stack:
        for device in _AUTOCAST:
            enabled = torch.is_autocast_enabled(device)
            stack.callback(torch.set_autocast_enabled, device, enabled)
            if enabled:
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def _repeatable(stack: ExitStack) -> None:
    """No sums of cuDNN without a fixed order, and no search for the fastest, which ends otherwise each time."""
    for name, value in (("benchmark", False), ("deterministic", True)):
        stack.callback(setattr, torch.backends.cudnn, name, getattr(torch.backends.cudnn, name))
        setattr(torch.backends.cudnn, name, value)


def _products(stack: ExitStack) -> None:
    """IEEE precision by torch's new settings, where it has them, and by its old switches.

    torch refuses to read an old switch that contradicts the new settings, as networks and libraries do, so both say
    the same inside. Afterwards all of them read as before, though foreign code may have set them inside. The unset
    state of cuDNN's settings, in which newer versions begin, can't be set again: they are at their default value.
    """
    # Put back last, because an old switch writes the new settings.
    before = {setting: _get(*setting) for setting in _SETTINGS}
    stack.callback(_put_back, before)
    for setting in _SETTINGS:
        # Those above it are at ieee by now: what reads otherwise was set for itself.
        if _get(*setting) != IEEE:
            _set(*setting, IEEE)
    for read, write, strict in (
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
        (_cudnn_allows, _allow_cudnn, False),
    ):
        stack.callback(_silently, write, _silently(read))
        _silently(write, strict)


def _put_back(settings: Mapping[tuple[str, str], str]) -> None:
    """Each setting as it read, from above, since what is set above may be all that changed it."""
    for setting, found in settings.items():
        if _get(*setting) != found:
            _set(*setting, found)


def _get(backend: str, operation: str) -> str:
    """A setting as torch reads it; without new settings there is nothing to change."""
    get: Callable[[str, str], str] = getattr(torch._C, "_get_fp32_precision_getter", lambda *_: IEEE)  # noqa: SLF001
    return get(backend, operation)


def _set(backend: str, operation: str, precision: str) -> None:
    """Write a setting past `torch.backends`, whose property of mkldnn writes that of all backends."""
    write: Callable[[str, str, str], object] = getattr(torch._C, "_set_fp32_precision_setter", lambda *_: None)  # noqa: SLF001
    write(backend, operation, precision)


def _cudnn_allows() -> bool:
    """The old switch; where all new settings are at ieee, torch refuses to read it if it isn't off."""
    try:
        return torch.backends.cudnn.allow_tf32
    except RuntimeError:
        return True


def _allow_cudnn(allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = allowed


def _silently(act: Callable[..., T], *arguments: object) -> T:
    """Some versions warn of their own old switches, others know no new ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return act(*arguments)
