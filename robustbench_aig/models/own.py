"""The door for networks that aren't ours: a factory named on the command line, and weights beside it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from robustbench_aig.errors import InputError
from robustbench_aig.models.adapt import only_logits
from robustbench_aig.models.state import read_state


def load_own(factory: str, weights: Path | None) -> nn.Module:
    """The network that a factory builds, with weights from a file, in eval mode.

    Its forward returns logits alone: where it returns several things, the first.

    Args:
        factory: `package.module:function`, importable from the current directory; called without arguments.
        weights: a state dict, as .safetensors or as torch.save writes it; None leaves the factory's own.

    Raises:
        InputError: there is no such factory, it fails, it builds no network, or the weights don't fit.
    """
    model = _built(factory)
    if weights is not None:
        _fill(model, weights)
    model.register_forward_hook(only_logits)
    return model.eval()


def _built(factory: str) -> nn.Module:
    module_name, _, function = factory.partition(":")
    if not module_name or not function:
        raise InputError(f"--model {factory}: write package.module:function, such as examples.skipnet:network")
    if "" not in sys.path:
        # An installed command doesn't look where the user stands.
        sys.path.insert(0, "")
    try:
        build: Callable[[], Any] = getattr(importlib.import_module(module_name), function)
        model = build()
    except Exception as error:  # noqa: BLE001 - foreign code may fail in any way
        raise InputError(f"--model {factory} cannot be built: {type(error).__name__}: {error}") from None
    if not isinstance(model, nn.Module):
        raise InputError(f"--model {factory} returns a {type(model).__name__}: it must return a torch.nn.Module")
    return model


def _fill(model: nn.Module, path: Path) -> None:
    state, own = read_state(path), model.state_dict()
    missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
    wrong = {name for name in own.keys() & state.keys() if own[name].shape != state[name].shape}
    if missing or unknown or wrong:
        kinds = (("missing", missing), ("unknown", unknown), ("of another shape", wrong))
        said = "; ".join(f"{len(names)} {kind}, such as '{min(names)}'" for kind, names in kinds if names)
        raise InputError(f"{path} doesn't fit the network: of {len(own)} tensors {said}")
    model.load_state_dict(state)
