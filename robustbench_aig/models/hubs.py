"""Networks of public hubs, with the normalisation that these say of them: timm, the Hugging Face hub, torch.hub."""

from __future__ import annotations

import io
import json
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import Tensor, nn

from robustbench_aig.errors import InputError, first_line
from robustbench_aig.hub_names import Hub
from robustbench_aig.models.foreign.fitting import plain_name
from robustbench_aig.records import HubRecord

_SECONDS = 5
"""After which a hub counts as out of reach."""


class FromHub(NamedTuple):
    """A network as its hub builds it, and what the hub says of its images."""

    network: nn.Module
    record: HubRecord


def load_from_hub(name: str, state: Mapping[str, Tensor] | None) -> FromHub:
    """Build a network of a hub, with the hub's weights, or freshly to be filled with those of a file.

    Args:
        name: `timm:NAME`, `hf:OWNER/REPO` of a timm network, or `hub:OWNER/REPO:NAME`, `hub:OWNER/REPO@TAG:NAME`.
        state: of the file; it tells the numbers of classes and channels. None for the hub's weights, from its cache on
            this machine or the network.

    Raises:
        InputError: an extra isn't installed, the hub has no such network, or its weights can't be had; in one line.
    """
    hub, _, rest = name.partition(":")
    try:
        if hub == "hub":
            return _of_torch(rest, fresh=state is not None)
        return _of_timm(rest, state) if hub == "timm" else _of_hugging_face(rest, state)
    except KeyboardInterrupt:
        raise
    except InputError as error:
        raise InputError(f"--model {name}: {error}") from None
    except BaseException as error:  # noqa: BLE001 - foreign code may fail in any way
        raise InputError(f"--model {name} can't be had: {type(error).__name__}: {first_line(error)}") from None


def _of_timm(name: str, state: Mapping[str, Tensor] | None) -> FromHub:
    timm = _timm()
    if not timm.is_model(name):
        near = get_close_matches(name.partition(".")[0], timm.list_models(), n=1)
        told = f"did you mean '{near[0]}'?" if near else "timm.list_models() names them all"
        raise InputError(f"timm has no network '{name}': {told}")
    about = timm.get_pretrained_cfg(name)
    if state is None and not about.has_weights:
        raise InputError(f"timm has no weights for '{name}': give --weights FILE, or one of timm.list_pretrained()")
    return _built(name, about.to_dict(), state, "timm")


def _of_hugging_face(repository: str, state: Mapping[str, Tensor] | None) -> FromHub:
    _timm()
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - an extra

    with _hugging_face():
        config = json.loads(Path(hf_hub_download(repository, "config.json")).read_text(encoding="utf-8"))
    if "architecture" not in config:
        kind = config.get("model_type", "of a kind that its config.json doesn't say")
        raise InputError(
            f"it is no timm network, but {kind}: write a function that loads it and returns logits, and name that, as "
            "--model package.module:function"
        )
    return _built(f"hf-hub:{repository}", config.get("pretrained_cfg", {}), state, "hf")


def _timm() -> Any:  # noqa: ANN401 - a module
    try:
        import timm  # noqa: PLC0415 - an extra
    except ImportError:
        raise InputError("networks of timm's form need timm: pip install 'robustbench_aig[timm]'") from None
    return timm


def _built(name: str, about: Mapping[str, Any], state: Mapping[str, Tensor] | None, hub: Hub) -> FromHub:
    """By timm, normalised as its `pretrained_cfg` says, unless the file's network takes other channels."""
    sizes = {} if state is None else _sizes(about, state)
    with _hugging_face():
        network = _timm().create_model(name, pretrained=state is None, **sizes)
    told = network.pretrained_cfg
    mean, std, image = (list(told[key]) if told.get(key) else None for key in ("mean", "std", "input_size"))
    channels = sizes.get("in_chans", image[0] if image else 0)
    if mean is None or std is None or len(mean) != channels:
        mean = std = None
    return FromHub(network, HubRecord(hub=hub, mean=mean, std=std, image=image))


def _sizes(about: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, int]:
    """Numbers of classes and of channels, by the last and the first layer in a file."""
    tensors = {plain_name(name): tensor for name, tensor in state.items()}
    found = {}
    for size, layer, axis in (("num_classes", "classifier", 0), ("in_chans", "first_conv", 1)):
        tensor = tensors.get(f"{about.get(layer)}.weight")
        if tensor is not None and tensor.dim() > axis:
            found[size] = tensor.shape[axis]
    return found


def _of_torch(name: str, *, fresh: bool) -> FromHub:
    """By torch.hub, which runs the code of the repository, after its own question whether that is trusted."""
    repository, _, entry = name.partition(":")
    if not entry or "/" not in repository:
        raise InputError("write hub:OWNER/REPO:NAME, or hub:OWNER/REPO@TAG:NAME")
    # Without a terminal nobody reads the question.
    shown = nullcontext() if sys.stdin and sys.stdin.isatty() else redirect_stdout(io.StringIO())
    try:
        with shown:
            network = _entry(repository.replace("@", ":"), entry, fresh=fresh)
    except EOFError:
        asks = f"torch.hub asks whether {repository} is trusted, since its code is run"
        raise InputError(f"{asks}: run this once where you can answer") from None
    return FromHub(network, HubRecord(hub="hub", mean=None, std=None, image=None))


def _entry(repository: str, entry: str, *, fresh: bool) -> nn.Module:
    """What an entry of `hubconf.py` gives, trained if it can be asked for that."""

    def load(**asked: bool) -> nn.Module:
        network: nn.Module = torch.hub.load(  # type: ignore[no-untyped-call]
            repository, entry, trust_repo="check", skip_validation=True, verbose=False, **asked
        )
        return network

    try:
        return load(pretrained=not fresh)
    except TypeError as error:
        if "pretrained" not in str(error):
            raise
    return load()


@contextmanager
def _hugging_face() -> Iterator[None]:
    """Where the hub can't be reached its cache alone is asked: its library would try again for a minute."""
    from huggingface_hub import constants  # noqa: PLC0415 - an extra
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled  # noqa: PLC0415 - an extra

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _reached(constants.ENDPOINT)
    try:
        yield
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        raise InputError(
            f"it isn't in the cache {constants.HF_HUB_CACHE}, and the hub is out of reach: run this once where there "
            "is a network, or give --weights FILE for a timm:NAME"
        ) from None
    finally:
        constants.HF_HUB_OFFLINE = before


def _reached(address: str) -> bool:
    """Whether a server can be connected to; a proxy is taken to reach it."""
    if getproxies():
        return True
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 443), _SECONDS).close()
    except OSError:
        return False
    return True
