"""What a training is asked for, and the record that says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from robustbench_aig.data import DataSet
from robustbench_aig.environment import environment
from robustbench_aig.errors import InputError, RecipeError, RunError
from robustbench_aig.locks import refuse_held
from robustbench_aig.recipes import ModelRecipe, Training
from robustbench_aig.runs import RECORD, RunRecord, Trained, differences, read_run
from robustbench_aig.training.hardware import Hardware
from robustbench_aig.training.weights import build_network, init_of


@dataclass(frozen=True)
class Job:
    """One training, as asked for.

    Attributes:
        directory: of the run; its last part is the run's name.
        recipe_name: as `zoo.find_model` gives it.
        recipe: resolved, its preset chosen.
        data: with the validation split cut by `seed`.
        seed: of everything random.
        hardware: where and how to train.
        image_size: as asked for, for the record.
        init: a finished run whose weights to begin with.
        reason: why this recipe, where nobody named it; for the record.
        command: that was given, for the record and for advice.
    """

    directory: Path
    recipe_name: str
    recipe: ModelRecipe
    data: DataSet
    seed: int
    hardware: Hardware = field(default_factory=Hardware)
    image_size: int | None = None
    init: Path | None = None
    reason: str | None = None
    command: str = "aigrob train"

    @property
    def training(self) -> Training:
        """The recipe's section; RecipeError where it has none."""
        if self.recipe.training is None:
            raise RecipeError(f"{self.recipe_name} has no [training] section: it describes a network from elsewhere")
        return self.recipe.training

    @property
    def batch(self) -> int:
        """Images in a batch, over all processes: a set below the recipe's is one batch.

        Raises:
            InputError: the processes can't share it equally.
        """
        size, processes = min(self.training.batch, len(self.data.train)), self.hardware.world.size
        if size % processes:
            raise InputError(
                f"{processes} processes cannot share a batch of {size} images equally: start more or fewer"
            )
        return size

    def check(self) -> None:
        """Raise what would be raised once the training begins."""
        _ = self.batch
        describe(self)


def describe(job: Job) -> RunRecord:
    """The record of a training that is about to start."""
    data = Trained(
        name=job.data.name,
        source=job.data.source,
        image_size=job.image_size,
        seed=job.seed,
        classes=list(job.data.classes),
        shape=job.data.shape,
        mean=job.data.mean,
        std=job.data.std,
    )
    with torch.device("meta"):
        network = build_network(job.recipe, data)
    return RunRecord(
        name=job.directory.name,
        recipe_name=job.recipe_name,
        recipe=job.recipe,
        data=data,
        seed=job.seed,
        precision="bf16" if job.hardware.amp else "fp32",
        compiled=job.hardware.compiled,
        processes=job.hardware.world.size,
        batch_norm="of all processes" if job.hardware.sync_bn else "of each process",
        init=None if job.init is None else init_of(job.init, network, data),
        reason=job.reason,
        status="training",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=job.command,
        environment=environment(job.hardware.device),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


def existing(job: Job, *, resume: bool) -> RunRecord | None:
    """The record of an earlier run that this job may continue or keep; None where it starts afresh.

    Raises:
        RunError: a run is in the way, or it was made with other settings.
    """
    if not (job.directory / RECORD).exists():
        return None
    old = read_run(job.directory, unfinished=True)
    if not resume:
        if old.status == "training":
            refuse_held(job.directory)
        what = "is already trained" if old.status == "finished" else "holds an unfinished training"
        goes_on = "keeps" if old.status == "finished" else "continues"
        raise RunError(f"{job.directory} {what}: --resume {goes_on} it, --overwrite starts again")
    changed = differences(old, describe(job))
    if changed:
        raise RunError(
            f"{job.directory} cannot be resumed: {changed[0]}; use the old settings, or start again with --overwrite"
        )
    return old
