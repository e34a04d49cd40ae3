"""Weights on disk: safetensors alone, checked before they are believed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn

from robustbench_aig.errors import RunError
from robustbench_aig.files import sha256_of, write_atomic
from robustbench_aig.models import build_model
from robustbench_aig.models.state import read_safetensors
from robustbench_aig.precision import float32
from robustbench_aig.recipes import ModelRecipe
from robustbench_aig.runs import WEIGHTS, Init, Trained, read_run


def build_network(recipe: ModelRecipe, data: Trained) -> nn.Module:
    """A freshly initialised network for the data it is, or was, trained on."""
    return build_model(recipe.model, classes=len(data.classes), mean=data.mean, std=data.std)


@float32()
def load_model(directory: Path, device: torch.device | str = "cpu") -> nn.Module:
    """The finished network of a run, in eval mode.

    Raises:
        RunError: the run is missing, unfinished or damaged, or its weights are truncated, foreign or changed.
    """
    record = read_run(directory)
    path = directory / WEIGHTS
    with torch.random.fork_rng(devices=[]):
        model = build_network(record.recipe, record.data)
    load_weights(model, path)
    if sha256_of(path) != record.weights_digest:
        raise RunError(
            f"{path} was changed after the training (its SHA-256 is not the one in run.json): "
            f"train again with {record.command} --overwrite"
        )
    return model.to(device).eval()


def init_of(directory: Path, network: nn.Module, data: Trained) -> Init:
    """What a finished run gives to a network's first weights.

    Args:
        directory: of the run.
        network: that is to be trained; it may lie on the meta device.
        data: that it is to be trained on.

    Raises:
        RunError: no such run, other images, another validation split, or weights that the network has no place for.
    """
    record = read_run(directory)
    if not record.data.matches(data):
        raise RunError(f"--init {record.name} was trained on {record.data.name}, this training is on {data.name}")
    if record.data.seed != data.seed:
        raise RunError(
            f"--init {record.name} learned from images that seed {data.seed} sets aside for validation: "
            f"use --seed {record.data.seed}"
        )
    own, given = network.state_dict(), _tensors(directory / WEIGHTS)
    foreign = [name for name, value in given.items() if name not in own or own[name].shape != value.shape]
    if foreign:
        raise RunError(f"--init {record.name} is of another network: there is no place for its '{foreign[0]}'")
    return Init(
        run=record.name,
        recipe_name=record.recipe_name,
        recipe_digest=hashlib.sha256(record.recipe.model_dump_json().encode()).hexdigest(),
        seed=record.seed,
        weights_digest=sha256_of(directory / WEIGHTS),
        tensors=len(given),
    )


def take_over(network: nn.Module, directory: Path) -> None:
    """Fill a network with a run's weights as far as they go, which `init_of` has checked; the rest stays."""
    network.load_state_dict(_tensors(directory / WEIGHTS), strict=False)


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill a network from a .safetensors file that must fit it exactly; RunError where it doesn't."""
    weights = _tensors(path)
    own = model.state_dict()
    wrong = {name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape}
    wrong |= own.keys() ^ weights.keys()
    if wrong:
        raise RunError(
            f"{path} holds another network: {len(wrong)} of {len(own)} tensors don't fit the recipe, "
            f"such as '{min(wrong)}'; train it again, with --overwrite"
        )
    model.load_state_dict(weights)


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a network's parameters and buffers, whole or not at all."""
    state: dict[str, Tensor] = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    write_atomic(path, save(state))


def _tensors(path: Path) -> dict[str, Tensor]:
    """What a .safetensors file holds; RunError where it's missing or none."""
    try:
        return read_safetensors(path)
    except SafetensorError as error:
        raise RunError(
            f"{path} is truncated or no safetensors file ({error}): train it again, with --overwrite"
        ) from None
    except OSError as error:
        raise RunError(
            f"cannot read {path}: {error.strerror or 'no such file'}; train it again, with --overwrite"
        ) from None
