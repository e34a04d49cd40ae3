"""Reading weights that come from elsewhere, without running anything that a file may hide."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from robustbench_aig.errors import InputError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which checkpoints keep their weights."""
_MAGIC = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How files of `torch.save` and other pickles begin."""
_CODE = re.compile(r"GLOBAL (\S+)|unrecognized function|new object|TorchScript")
"""What torch says where loading would need more than tensors and containers."""


def read_state(path: Path, *, masks: bool = False) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU, all finite.

    A file `*.safetensors` is read as such, any other as `torch.save` writes it, under `weights_only`: tensors and
    plain containers alone, no code. A checkpoint's own `state_dict` is looked up; names are as they stand there.

    Args:
        path: of the file.
        masks: let -inf pass, as masks hold it.

    Raises:
        InputError: no such file, or one that is empty, truncated, foreign, needs code to load, or holds anything
            but finite numbers; one line with the way out.
    """
    if not path.is_file():
        raise InputError(f"{path} is {'a folder' if path.is_dir() else 'not there'}: name a file of weights")
    if not path.stat().st_size:
        raise InputError(f"{path} is empty: copy or download it again")
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    state = _unwrapped(content, path)
    for name, value in state.items():
        _check(name, value, path, masks=masks)
    return state


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, unchecked; SafetensorError or OSError where that fails."""
    # Not load_file, which swallows Ctrl-C.
    tensors: dict[str, Tensor] = load(path.read_bytes())
    return tensors


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return read_safetensors(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is truncated or no safetensors file ({error}): copy or download it again") from None


def _torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content: object = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # noqa: BLE001 - a damaged pickle can make the reader fail in any way
        code = _CODE.search(str(error))
        if code and _is_pickle(path):
            raise InputError(
                f"{path} holds more than weights ({code[1] or code[0]}), and loading that could run code: where you "
                "trust it, save its state dict alone, with torch.save(model.state_dict(), FILE) or as .safetensors"
            ) from None
        raise InputError(
            f"{path} is truncated or no file of torch.save ({type(error).__name__}): copy or download it again, "
            "or name a .safetensors file"
        ) from None
    return content


def _is_pickle(path: Path) -> bool:
    """Whether it begins as one; text can look like the oldest kind, which torch never wrote."""
    with path.open("rb") as stream:
        return stream.read(2) in _MAGIC


def _unwrapped(content: object, path: Path) -> dict[str, Tensor]:
    """The state dict in what a file holds."""
    found = content
    if isinstance(found, Mapping):
        found = next((found[key] for key in _WRAPPERS if isinstance(found.get(key), Mapping)), found)
    if not isinstance(found, Mapping) or not found:
        what = "nothing" if isinstance(found, Mapping) else f"a {type(found).__name__}"
        raise InputError(f"{path} holds {what}, not a state dict: save one with torch.save(model.state_dict(), FILE)")
    other = next(
        (key for key, value in found.items() if not (isinstance(key, str) and isinstance(value, Tensor))), None
    )
    if other is not None:
        raise InputError(
            f"{path} holds no state dict: '{other}' is a {type(found[other]).__name__}, no tensor; a checkpoint is to "
            f"keep its tensors under {' or '.join(repr(key) for key in _WRAPPERS)}"
        )
    return dict(found)


def _check(name: str, value: Tensor, path: Path, *, masks: bool) -> None:
    """Refuse what no network of ours holds, before anything is computed with it."""
    if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.is_meta:
        raise InputError(f"{path}: tensor '{name}' is no plain array of real numbers; save the network unquantised")
    # A tensor may claim to be larger than what is stored of it, and would be as large once it's computed with.
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise InputError(f"{path}: tensor '{name}' repeats its numbers; save it with .contiguous()")
    numbers = value.float()
    if not (numbers.isfinite() | (numbers.isneginf() & masks)).all():
        raise InputError(f"{path}: tensor '{name}' holds NaN or infinite numbers; take weights from before they did")
