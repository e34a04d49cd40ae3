"""Tensors of a file under the names that a network itself has for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from robustbench_aig.errors import InputError, first_line
from robustbench_aig.models.foreign.copying import unshaped

_WRAPPERS = {"module", "_orig_mod"}
"""Parts of names that `DataParallel`, DDP and averages, and `torch.compile` put in, wherever they wrap something."""
_COUNTERS = ("n_averaged", "num_batches_tracked")
"""Counters, of averages and of batch-norms: in eval mode nothing depends on them."""


def plain_name(name: str) -> str:
    """A tensor's name without what torch's wrappers put in."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def fit(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Fill a network, in place, with all that a file holds.

    Names are the network's own, or differ in what wrappers of torch add. Counters may be absent, and so may tensors
    that the network ties to others; masks may hold -inf.

    Args:
        model: that is to have them.
        state: by the file's names.
        path: of the file, for errors.

    Raises:
        InputError: a tensor is missing, unknown, of another shape, or infinite where the network learns.
    """
    own = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    given = _renamed(state, own)
    tied = _tied(model)
    missing = {
        name for name in own.keys() - given.keys() if not _counts(name) and not any(o in given for o in tied[name])
    }
    unknown = {name for name in given.keys() - own.keys() if not _counts(name)}
    fitting = {name: value for name, value in given.items() if name in own}
    shapes = {name: value.shape for name, value in own.items() if not unshaped(value)}
    wrong = {name for name, value in fitting.items() if name in shapes and shapes[name] != value.shape}
    if missing or unknown or wrong:
        kinds = (("missing", missing), ("unknown", unknown), ("of another shape", wrong))
        said = "; ".join(f"{len(names)} {kind}, such as '{min(names)}'" for kind, names in kinds if names)
        raise InputError(f"{path} doesn't fit the network: of {len(own)} tensors {said}")
    _check_numbers(model, fitting, tied, path)
    try:
        model.load_state_dict(fitting, strict=False, assign=any(value.is_meta for value in own.values()))
    except Exception as error:  # noqa: BLE001 - networks may load in a way of their own
        said = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{path} can't be loaded by the network: {said}") from None


def _renamed(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the network's names where they are known, else under the file's."""
    for named in _peeled(state):
        if all(name in own or _counts(name) for name in named):
            return named
    names: dict[str, list[str]] = defaultdict(list)
    for name in own:
        names[plain_name(name)].append(name)
    found = {}
    for name, value in state.items():
        same = names[plain_name(name)]
        found[same[0] if len(same) == 1 else name] = value
    # Where two of the file's names would be one, nothing says which is meant.
    return found if len(found) == len(state) else dict(state)


def _peeled(state: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The tensors by their names as they are, then without one wrapper after the other around the whole network."""
    named = dict(state)
    yield named
    while named:
        tensors = {name: value for name, value in named.items() if not _counts(name)}
        outer = {name.partition(".")[0] for name in tensors}
        if len(outer) != 1 or not outer <= _WRAPPERS:
            return
        (prefix,) = outer
        named = {name.removeprefix(f"{prefix}."): value for name, value in named.items()}
        yield named


def _counts(name: str) -> bool:
    return name.rpartition(".")[2] in _COUNTERS


def _tied(model: nn.Module) -> dict[str, list[str]]:
    """For each name of a tensor the others that the network has for the same one."""
    names: dict[int, list[str]] = defaultdict(list)
    for place, module in model.named_modules(remove_duplicate=False):
        for key, value in (*module._parameters.items(), *module._buffers.items()):  # noqa: SLF001 - duplicates, too
            if value is not None:
                names[id(value)].append(f"{place}.{key}" if place else key)
    return defaultdict(list, {name: same for same in names.values() for name in same})


def _check_numbers(model: nn.Module, fitting: Mapping[str, Tensor], tied: Mapping[str, list[str]], path: Path) -> None:
    learned = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for name, value in fitting.items():
        if name in learned and bool(value.isinf().any()):
            raise InputError(f"{path}: weight '{name}' holds infinite numbers; take weights from before they did")
        other = next((o for o in tied[name] if o in fitting and not torch.equal(fitting[o], value)), None)
        if other is not None:
            raise InputError(f"{path}: '{name}' and '{other}' are one tensor of the network, but differ in the file")
