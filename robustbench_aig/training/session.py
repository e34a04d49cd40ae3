"""One training and its run directory: how it is opened, continued, saved after every epoch, and finished."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor, nn

from robustbench_aig.data import DataSet, ImageSet
from robustbench_aig.environment import environment
from robustbench_aig.errors import RecipeError, RunError
from robustbench_aig.files import make_folder, sha256_of
from robustbench_aig.randomness import seed_of
from robustbench_aig.recipes import ModelRecipe, RateLoss, Training
from robustbench_aig.runs import (
    RECORD,
    WEIGHTS,
    EpochRecord,
    Metrics,
    RunRecord,
    Trained,
    clear_run,
    differences,
    read_run,
    write_history,
    write_run,
)
from robustbench_aig.training.checkpoint import load_checkpoint, save_checkpoint
from robustbench_aig.training.scoring import score
from robustbench_aig.training.weights import build_network, save_weights

FINAL_DRAWS = 10


@dataclass(frozen=True)
class Job:
    """One training, as asked for.

    Attributes:
        directory: of the run; its last part is the run's name.
        recipe_name: as `zoo.find_model` gives it.
        recipe: resolved.
        data: with the validation split cut by `seed`.
        seed: of everything random.
        device: where to train.
        image_size: as asked for, for the record.
        amp: train in bfloat16 where torch's autocast finds it safe.
        command: that was given, for the record and for advice.
    """

    directory: Path
    recipe_name: str
    recipe: ModelRecipe
    data: DataSet
    seed: int
    device: torch.device
    image_size: int | None = None
    amp: bool = False
    command: str = "aigrob train"

    @property
    def training(self) -> Training:
        """The recipe's section; RecipeError where it has none."""
        if self.recipe.training is None:
            raise RecipeError(f"{self.recipe_name} has no [training] section: it describes a network made elsewhere")
        return self.recipe.training


@dataclass(frozen=True)
class Session:
    """A training under way; `history` grows by one record per epoch.

    Attributes:
        targets: (G,) execution rates that the gates are trained towards, or blocks survive at, on the device of the
            training; empty for a plain network.
    """

    job: Job
    record: RunRecord
    model: nn.Module
    optimizer: torch.optim.Optimizer
    targets: Tensor
    train: ImageSet
    validation: ImageSet
    history: list[EpochRecord]

    @property
    def rate_loss(self) -> RateLoss | None:
        """None for a plain network."""
        return self.job.training.rate_loss


def existing(job: Job, *, resume: bool) -> RunRecord | None:
    """The record of an earlier run that this job may continue or keep; None where it starts afresh.

    Raises:
        RunError: a run is in the way, or it was made with other settings.
    """
    if not (job.directory / RECORD).exists():
        return None
    old = read_run(job.directory, unfinished=True)
    if not resume:
        what = "is already trained" if old.status == "finished" else "holds an unfinished training"
        goes_on = "keeps" if old.status == "finished" else "continues"
        raise RunError(f"{job.directory} {what}: --resume {goes_on} it, --overwrite starts it anew")
    changed = differences(old, describe(job))
    if changed:
        raise RunError(
            f"{job.directory} cannot be resumed: {changed[0]}; use the old settings, or start anew with --overwrite"
        )
    return old


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
        parameters = sum(p.numel() for p in build_network(job.recipe, data).parameters())
    return RunRecord(
        name=job.directory.name,
        recipe_name=job.recipe_name,
        recipe=job.recipe,
        data=data,
        seed=job.seed,
        precision="bf16" if job.amp else "fp32",
        status="training",
        created=_now(),
        command=job.command,
        environment=environment(job.device),
        parameters=parameters,
    )


def open_session(job: Job, old: RunRecord | None) -> Session:
    """Start afresh, or continue an earlier run after its latest checkpoint; the directory says so at once."""
    record = old or describe(job)
    settings = job.training.optimizer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(job.seed, "initial weights"))
        model = build_network(job.recipe, record.data)
    model = model.to(job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    if old is None:
        make_folder(job.directory)
        clear_run(job.directory)
        history: list[EpochRecord] = []
    else:
        history = load_checkpoint(job.directory, model, optimizer)
    write_run(job.directory, record)
    write_history(job.directory, history)
    train, validation = job.data.train.to(job.device), job.data.validation.to(job.device)
    targets = torch.tensor(job.recipe.model.targets, device=job.device)
    return Session(job, record, model, optimizer, targets, train, validation, history)


def save_epoch(session: Session, epoch: EpochRecord) -> None:
    """Put a finished epoch on disk: the history first, so that the checkpoint never knows more."""
    session.history.append(epoch)
    write_history(session.job.directory, session.history)
    save_checkpoint(session.job.directory, session.model, session.optimizer, session.history)


def finish(session: Session) -> RunRecord:
    """Score the network of the last epoch on the test split, save it, and close the record."""
    job = session.job
    test = job.data.test.to(job.device)
    validation, tested = (
        score(session.model, images, family=session.record.family, seed=job.seed, draws=FINAL_DRAWS)
        for images in (session.validation, test)
    )
    save_weights(session.model, job.directory / WEIGHTS)
    record = session.record.model_copy(
        update={
            "status": "finished",
            "finished": _now(),
            "metrics": Metrics(validation=validation, test=tested),
            "weights_digest": sha256_of(job.directory / WEIGHTS),
        }
    )
    write_run(job.directory, record)
    return record


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
