"""A network that was trained elsewhere becomes a finished run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import torch

from robustbench_aig.data import DataSet
from robustbench_aig.environment import environment
from robustbench_aig.errors import InputError
from robustbench_aig.files import make_folder, sha256_of
from robustbench_aig.locks import only_writer
from robustbench_aig.models.importing import Imported, Moments, fill
from robustbench_aig.recipes import ModelRecipe
from robustbench_aig.runs import WEIGHTS, RunRecord, Trained, clear_run, write_run
from robustbench_aig.training.weights import build_network, save_weights


def adopt(
    imported: Imported,
    data: DataSet,
    directory: Path,
    *,
    moments: Moments | None = None,
    seed: int,
    image_size: int | None,
    command: str,
    origin: str,
) -> RunRecord:
    """Write the run directory; an earlier run in it is replaced. Nothing is scored.

    Args:
        imported: the network.
        data: what it is to be measured on.
        directory: of the run; its last part is the run's name.
        moments: mean and standard deviation that the network's inputs were normalised with, per channel in [0, 1];
            None for those that are usual for it.
        seed: cut the validation split of `data`.
        image_size: as asked for, for the record.
        command: that was given, for the record.
        origin: of the weights, for the record.

    Raises:
        InputError: the network doesn't suit the data, its normalisation is unknown or for other images, or it
            returns no finite numbers.
    """
    _check_data(imported, data)
    mean, std = _normalisation(imported, moments)
    recipe = ModelRecipe(
        summary=f"{imported.summary}, trained elsewhere: {origin}",
        reference=imported.reference,
        model=imported.model,
    )
    trained = Trained(
        name=data.name,
        source=data.source,
        image_size=image_size,
        seed=seed,
        classes=list(data.classes),
        shape=data.shape,
        mean=list(mean),
        std=list(std),
    )
    network = build_network(recipe, trained)
    fill(network, imported.state)
    with torch.no_grad():
        logits = network.eval()(torch.full((1, *data.shape), 0.5))
    if not logits.isfinite().all():
        raise InputError(f"{imported.name} returns NaN for a grey image: its weights or --std are damaged")
    make_folder(directory)
    with only_writer(directory):
        clear_run(directory)
        save_weights(network, directory / WEIGHTS)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = RunRecord(
            name=directory.name,
            recipe_name=f"imported/{imported.name}",
            recipe=recipe,
            data=trained,
            seed=seed,
            status="finished",
            created=now,
            finished=now,
            command=command,
            environment=environment(torch.device("cpu")),
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            weights_digest=sha256_of(directory / WEIGHTS),
        )
        write_run(directory, record)
    return record


def _check_data(imported: Imported, data: DataSet) -> None:
    if imported.classes != len(data.classes):
        raise InputError(
            f"{imported.name} tells {imported.classes} classes apart and {data.name} has {len(data.classes)}: "
            "name the data that it was trained for with --data"
        )
    if imported.channels != data.shape[0]:
        raise InputError(
            f"{imported.name} takes images of {imported.channels} channels and those of {data.name} have "
            f"{data.shape[0]}: name the data that it was trained for with --data"
        )


def _normalisation(imported: Imported, moments: Moments | None) -> Moments:
    """One mean and one standard deviation per channel."""
    found = moments or imported.moments
    if found is None:
        raise InputError(
            f"give --mean and --std: those of {imported.name} with {imported.channels} channels are unknown"
        )
    if {len(numbers) for numbers in found} != {imported.channels}:
        raise InputError(f"--mean and --std need {imported.channels} numbers each, one per channel of {imported.name}")
    return found
