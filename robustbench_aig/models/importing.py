"""State dicts of other people's networks, read as networks of ours: which one it is, and what its tensors are called.

Nothing of the original's code is needed: depth, widths and classes follow from the shapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from robustbench_aig.errors import InputError
from robustbench_aig.models.foreign.fitting import plain_name
from robustbench_aig.models.network_factory import build_model
from robustbench_aig.recipes import GatedResNetRecipe, ModelSettings, ResNetRecipe

State = Mapping[str, Tensor]
Moments = tuple[tuple[float, ...], tuple[float, ...]]

TARGET = 0.6
"""The official code's default; the weights don't tell with which rate they were trained."""
_CIFAR: Moments = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
"""As the official ConvNet-AIG code normalises (github.com/andreasveit/convnet-aig, train.py)."""
_IMAGENET: Moments = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""As in all of torchvision's residual networks."""
_COUNTER = "num_batches_tracked"
"""Of a batch-norm; torch before 0.4.1 had none, and in eval mode nothing depends on it."""
_SHOWN = 3


@dataclass(frozen=True)
class Imported:
    """A network from elsewhere, in our terms.

    Attributes:
        name: such as "convnet-aig-110".
        summary: in a few words.
        reference: where it was published.
        model: the recipe's `[model]` section, from which `build_model` makes the network.
        state: its weights under the names of that network, all but the normalisation's.
        channels: of the images.
        classes: number of logits.
        moments: mean and standard deviation per channel that its inputs are taken to have been normalised with, in
            [0, 1]; None where that cannot be guessed.
    """

    name: str
    summary: str
    reference: str
    model: ModelSettings
    state: dict[str, Tensor]
    channels: int
    classes: int
    moments: Moments | None


def import_state(state: State, target: float | None = None) -> Imported:
    """Recognise a state dict by its names and shapes.

    It may be that of a ConvNet-AIG as the official code saves it for CIFAR or ImageNet, of the same network without
    gates, or of one of torchvision's ResNets.

    Args:
        state: as `read_state` gives it.
        target: execution rate that the gates were trained towards, below 1, for the record; default `TARGET`.

    Raises:
        InputError: another network, a missing, unknown or misshapen tensor, or a target for a network without gates.
    """
    state = {plain_name(name): value for name, value in state.items() if name != "n_averaged"}
    if {"conv1.weight", "linear.weight"} <= state.keys():
        imported = _official(state, TARGET if target is None else target)
    elif {"conv1.weight", "fc.weight"} <= state.keys():
        imported = _torchvision(state)
    else:
        raise InputError(
            f"unknown network, with tensors such as {_some(state)}: known are the networks of the official "
            "ConvNet-AIG code, gated or plain (conv1, layer1 to layer3 or layer4, linear), and torchvision's residual "
            "networks (conv1, layer1 to layer4, fc)"
        )
    if target is not None and imported.model.family != "gated":
        raise InputError(f"{imported.name} has no gates: leave out the target rate")
    return imported


def _layout(state: State) -> dict[str, Any]:
    """What the shapes tell of a network; those for ImageNet begin with a larger kernel."""
    large = _size(state, "conv1.weight", 3) > 3
    blocks = [{m[1] for name in state if (m := re.match(rf"layer{stage}\.(\d+)\.", name))} for stage in range(1, 5)]
    counts = [len(stage) for stage in blocks if stage]
    if large != (len(counts) == 4) or not counts or not (large or counts == counts[:1] * 3):
        raise InputError(
            f"blocks per stage are {', '.join(map(str, counts)) or 'none'}: only CIFAR networks can be read, three "
            "stages of equally many blocks, and ImageNet's, whose first convolution is larger, of four stages"
        )
    widths = [_size(state, f"layer{stage}.0.conv1.weight", 0) for stage, _ in enumerate(counts, 1)]
    if not large:
        return {"depth": 2 * sum(counts) + 2, "widths": widths}
    bottleneck = "layer1.0.conv3.weight" in state
    depth = (3 if bottleneck else 2) * sum(counts) + 2
    return {"depth": depth, "widths": widths, "stages": counts, "bottleneck": bottleneck, "stem": "imagenet"}


def _official(state: State, target: float) -> Imported:
    """The layout of the official ConvNet-AIG code, with gates or without."""
    layout = _layout(state)
    depth, small = layout["depth"], "stem" not in layout
    gates = [name for name in state if re.match(r"layer\d\.\d+\.fc1\.", name)]
    model: ModelSettings
    if gates:
        model = GatedResNetRecipe(
            algorithm="gated-resnet",
            target=target,
            gate_hidden=_size(state, gates[0].split(".fc1.")[0] + ".fc1.weight", 0),
            gate_norm=any(".fc1bn." in name for name in state),
            **layout,
        )
        words = f"convnet-aig-{depth}", f"ConvNet-AIG-{depth}", "Veit and Belongie, arXiv 1711.11503"
    else:
        model = ResNetRecipe(algorithm="resnet", **layout)
        kind = "cifar" if small else "imagenet"
        summary = f"ResNet-{depth} for {'CIFAR' if small else 'ImageNet'}"
        words = f"{kind}-resnet-{depth}", summary, "He et al., arXiv 1512.03385"
    return _fitted(state, model, _official_name, _CIFAR if small else _IMAGENET, head="linear", words=words)


def _torchvision(state: State) -> Imported:
    """The same without gates, and with torchvision's names of shortcuts and of the last layer."""
    model = ResNetRecipe(algorithm="resnet", **_layout(state))
    name = f"resnet{model.depth}"
    words = name, f"torchvision's {name}", "He et al., arXiv 1512.03385; torchvision"
    return _fitted(state, model, _torchvision_name, _IMAGENET, head="fc", words=words)


_NAMES = (
    (r"^stem\.conv\.", "conv1."),
    (r"^stem\.bn\.", "bn1."),
    (r"^head\.", "linear."),
    (r"^stages\.(\d)\.", lambda found: f"layer{int(found[1]) + 1}."),
    (r"\.residual\.", "."),
    (r"\.shortcut\.conv\.", ".shortcut.0."),
    (r"\.shortcut\.bn\.", ".shortcut.1."),
    (r"\.gate\.norm\.", ".fc1bn."),
    (r"\.gate\.", "."),
)


def _official_name(name: str) -> str:
    """The official code's name for a tensor of ours."""
    for ours, theirs in _NAMES:
        name = re.sub(ours, cast("str", theirs), name)
    return name


def _torchvision_name(name: str) -> str:
    """Torchvision's name for a tensor of ours."""
    return _official_name(name).replace("linear.", "fc.").replace(".shortcut.", ".downsample.")


def _tensors(model: ModelSettings, classes: int, channels: int) -> dict[str, Tensor]:
    """What a network of ours holds, on the meta device, but for the normalisation and counters of batches."""
    with torch.device("meta"):
        network = build_model(model, classes=classes, mean=[0.0] * channels, std=[1.0] * channels)
    return {
        name: value
        for name, value in network.state_dict().items()
        if not name.startswith("normalise.") and not name.endswith(_COUNTER)
    }


def _fitted(
    state: State,
    model: ModelSettings,
    theirs: Callable[[str], str],
    moments: Moments,
    *,
    head: str,
    words: tuple[str, str, str],
) -> Imported:
    """The tensors under our names.

    Args:
        state: under theirs.
        model: what they are taken for.
        theirs: from our name of a tensor to theirs.
        moments: of three channels.
        head: their name of the last layer.
        words: name, summary and reference.

    Raises:
        InputError: a tensor is missing, unknown or of another shape.
    """
    classes, channels = _size(state, f"{head}.weight", 0), _size(state, "conv1.weight", 1)
    own = _tensors(model, classes, channels)
    missing = [theirs(name) for name in own if theirs(name) not in state]
    if missing:
        raise InputError(f"{len(missing)} of the {len(own)} tensors of {words[1]} are missing: {_some(missing)}")
    known = {theirs(name) for name in own}
    unknown = [name for name in state if name not in known and not name.endswith(_COUNTER)]
    if unknown:
        raise InputError(f"{len(unknown)} tensors are unknown to {words[1]}: {_some(unknown)}")
    fitting = {}
    for name, place in own.items():
        value = state[theirs(name)]
        # A 1×1 convolution over one pixel is a linear layer.
        linear = value[..., 0, 0] if place.dim() == 2 and value.dim() == 4 and value.shape[2:] == (1, 1) else value
        if linear.shape != place.shape:
            raise InputError(
                f"tensor '{theirs(name)}' is {_shape(value)}, where {words[1]} with the others has {_shape(place)}"
            )
        fitting[name] = linear
    name, summary, reference = words
    return Imported(name, summary, reference, model, fitting, channels, classes, moments if channels == 3 else None)


def fill(network: torch.nn.Module, state: State) -> None:
    """Copy the weights of an `Imported` into the network that was built for it; the normalisation stays."""
    own = network.state_dict()
    kept = {name: value for name, value in own.items() if name.startswith("normalise.") or name.endswith(_COUNTER)}
    network.load_state_dict({**kept, **state})


def _size(state: State, name: str, axis: int) -> int:
    """Length of a tensor along an axis; InputError where that tells nothing."""
    shape: Sequence[int] = state[name].shape if name in state else ()
    if len(shape) <= axis or not shape[axis]:
        what = "missing" if name not in state else f"of shape {_shape(state[name])}"
        raise InputError(f"tensor '{name}' is {what}, but tells the size of the network")
    return shape[axis]


def _shape(value: Tensor) -> str:
    return "×".join(map(str, value.shape)) or "a single number"


def _some(names: Sequence[str] | State) -> str:
    """The first few of them."""
    shown = [f"'{name}'" for name in list(names)[:_SHOWN]]
    return ", ".join(shown) + (", …" if len(names) > _SHOWN else "")
