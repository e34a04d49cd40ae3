"""The door for networks that the command line names: a factory, and weights beside it."""

from __future__ import annotations

import importlib
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustbench_aig.errors import InputError, first_line
from robustbench_aig.hub_names import of_hub
from robustbench_aig.models.foreign.fitting import fit
from robustbench_aig.models.foreign.torch_settings import Defaults
from robustbench_aig.models.foreign.wrapper import ForeignNetwork
from robustbench_aig.models.hubs import load_from_hub
from robustbench_aig.models.resnet import Normalise
from robustbench_aig.models.state import read_state


def load_own(factory: str, weights: Path | None) -> ForeignNetwork:
    """The network that a factory or a hub builds, with weights from a file, in eval mode.

    What the factory sets for all of torch, such as a default dtype, is in force in its own network alone.

    Args:
        factory: `package.module:function`, importable from the current directory; called without arguments. Or the name
            of a network of a hub, as `load_from_hub` takes it.
        weights: a state dict, as .safetensors or as torch.save writes it; None leaves the factory's own.

    Raises:
        InputError: there is no such factory, it fails or exits, it builds no network, or the weights don't fit.
    """
    state = None if weights is None else read_state(weights, masks=True)
    with _settings_kept():
        model, hub = load_from_hub(factory, state) if of_hub(factory) else (_built(factory), None)
        if not isinstance(model, nn.Module):
            raise InputError(f"--model {factory} returns a {type(model).__name__}: it must return a torch.nn.Module")
        defaults = Defaults.now()
        if state is not None and weights is not None:
            fit(model, state, weights)
        if hub and hub.mean and hub.std:
            model = nn.Sequential(OrderedDict(normalise=Normalise(hub.mean, hub.std), network=model))
        model.eval()
    own = ForeignNetwork(model, factory, defaults)
    own.hub = hub
    return own


def _built(factory: str) -> object:
    module_name, _, function = factory.partition(":")
    if not module_name or not function:
        raise InputError(f"--model {factory}: write package.module:function, such as examples.skipnet:network")
    if "" not in sys.path:
        # An installed command doesn't look where the user stands.
        sys.path.insert(0, "")
    try:
        build: Callable[[], Any] = getattr(importlib.import_module(module_name), function)
        return build()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - foreign code may fail in any way, and scripts call sys.exit
        said = f": {first_line(error)}" if str(error) else ""
        raise InputError(f"--model {factory} cannot be built: {type(error).__name__}{said}") from None


@contextmanager
def _settings_kept() -> Iterator[None]:
    """What code sets for the whole process at its import is as before afterwards."""
    dtype, device, threads = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()
    graded, folder = torch.is_grad_enabled(), Path.cwd()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        torch.set_grad_enabled(graded)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        os.chdir(folder)
