"""Copies of networks that aren't ours, frozen and in eval mode; and the digest of their weights."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel

from robustbench_aig.errors import InputError, first_line

_INNER = ((DistributedDataParallel, "module"), (DataParallel, "module"), (AveragedModel, "module"))


def unwrapped(network: nn.Module) -> nn.Module:
    """What torch's own wrappers stand around: parallel ones, averages, `torch.compile`; they compute what it does."""
    while True:
        found = next((getattr(network, inner) for kind, inner in _INNER if isinstance(network, kind)), None)
        found = found or getattr(network, "_orig_mod", None)
        if not isinstance(found, nn.Module):
            return network
        network = found


def own_copy(network: nn.Module, name: str) -> nn.Module:
    """A copy in eval mode whose weights need no gradient; the network itself stays as it is.

    What it has computed and keeps, such as the weights of an old `weight_norm` or features for a picture, is copied as
    numbers.

    Args:
        network: of anybody.
        name: what errors call it.

    Raises:
        InputError: it has no weights yet, or weights that are no numbers, or can't be copied.
    """
    _check_weights(network, name)
    try:
        with torch.no_grad():
            copied = copy.deepcopy(network, numbers_kept(network)).eval()
            for parameter in copied.parameters():
                parameter.requires_grad = False
    except Exception as error:  # noqa: BLE001 - foreign code may fail in any way
        where = _uncopyable(network)
        raise InputError(
            f"{name} can't be copied, and attacks work on copies: {where or first_line(error)}; leave it out of the "
            "network, or write a __deepcopy__ for it"
        ) from None
    return copied


def unshaped(value: Tensor) -> bool:
    """Whether it is of a lazy layer that has not seen an input yet."""
    return bool(is_lazy(value))


def _check_weights(network: nn.Module, name: str) -> None:
    for place, value in network.named_parameters():
        if unshaped(value):
            raise InputError(f"{name} has weights of no shape yet, such as '{place}': pass it a batch of images first")
        if value.is_meta:
            raise InputError(f"{name} has no weights, only shapes, such as '{place}' on the meta device: load them")
        if value.is_floating_point() and bool((value.isnan() | value.isposinf()).any()):
            raise InputError(f"{name}: weight '{place}' holds NaN or infinite numbers: take older ones")
    for place, buffer in network.named_buffers():
        if unshaped(buffer) or buffer.is_meta:
            raise InputError(f"{name} has no numbers in its buffer '{place}' yet: load them first")


def numbers_kept(network: nn.Module) -> dict[int, Any]:
    """A memo for `copy.deepcopy`: what a network has computed and keeps without its history, which torch can't copy."""
    return {id(value): value.detach().clone() for value in _computed(network)}


def _computed(network: nn.Module) -> Iterator[Tensor]:
    """Tensors with a history that modules keep as attributes, or in lists and such."""
    waiting: list[object] = [value for module in network.modules() for value in vars(module).values()]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            if not value.is_leaf:
                yield value
        elif isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set):
            waiting.extend(value)


def _uncopyable(network: nn.Module) -> str | None:
    """The first attribute of a module that copying fails at."""
    for place, module in network.named_modules():
        for key, value in vars(module).items():
            if key in {"_modules", "_parameters", "_buffers"}:
                continue
            try:
                copy.deepcopy(value)
            except Exception as error:  # noqa: BLE001 - as above
                return f"its '{'.'.join(filter(None, (place, key)))}' is a {type(value).__name__} ({first_line(error)})"
    return None


def weights_digest(network: nn.Module) -> str:
    """SHA-256 over names and values of all parameters and buffers, those that no state dict keeps included."""
    digest = hashlib.sha256()
    kept = network.state_dict()
    hidden = {name: value for name, value in network.named_buffers() if name not in kept}
    for name, value in sorted({**kept, **hidden}.items()):
        digest.update(name.encode())
        for part in _bytes(value):
            digest.update(part)
    return digest.hexdigest()


def _bytes(value: object) -> Iterator[bytes]:
    """The bytes of what may stand in a state dict: tensors of any type and layout, containers, settings."""
    match value:
        case Tensor() if value.is_quantized:
            yield repr((value.qscheme(), value.dtype)).encode()
            yield from _bytes(value.dequantize())
        case Tensor():
            plain = value.detach().cpu().to_dense().resolve_conj().resolve_neg().contiguous()
            yield plain.flatten().view(torch.uint8).numpy().tobytes()
        case Mapping():
            for key, each in value.items():
                yield repr(key).encode()
                yield from _bytes(each)
        case tuple() | list():
            for each in value:
                yield from _bytes(each)
        case bool() | int() | float() | str() | bytes() | torch.dtype() | None:
            yield repr(value).encode()
        case _:
            yield type(value).__qualname__.encode()
