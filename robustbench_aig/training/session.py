"""One training and its run directory: how it is opened, continued, saved, and finished."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import torch
import torch.nn.functional as F

from robustbench_aig.data import ImageSet
from robustbench_aig.errors import RunError
from robustbench_aig.files import remove_partial, sha256_of
from robustbench_aig.models import profile_macs
from robustbench_aig.precision import float32
from robustbench_aig.randomness import seed_of
from robustbench_aig.runs import WEIGHTS, EpochRecord, Metrics, RunRecord, clear_run, write_history, write_run
from robustbench_aig.training.batches import Batches
from robustbench_aig.training.checkpoint import Checkpoint, State, drop_checkpoints, load_checkpoints, save_checkpoint
from robustbench_aig.training.epoch_sums import Tally
from robustbench_aig.training.job import Job, describe
from robustbench_aig.training.learner import Learner
from robustbench_aig.training.scoring import Scorer
from robustbench_aig.training.weights import build_network, save_weights, take_over

# One draw per epoch is enough for a curve; the final numbers are quoted.
FINAL_DRAWS = 10


@dataclass
class Session:
    """A training under way.

    Attributes:
        job: what is trained.
        record: as it is on disk.
        learner: network and optimizer.
        batches: of the training split.
        validation: on the device of the training.
        scorer: of the network.
        history: one record per finished epoch.
        step: batches that the epoch under way has done.
        tally: of that epoch.
        seconds: that it has taken.
        best: the network after the best epoch so far; None where no epoch is chosen.
        notes: what the user should know of how it was opened.
    """

    job: Job
    record: RunRecord
    learner: Learner
    batches: Batches
    validation: ImageSet
    scorer: Scorer
    history: list[EpochRecord]
    step: int
    tally: Tally
    seconds: float = 0.0
    best: State | None = None
    notes: tuple[str, ...] = ()

    def begin_epoch(self) -> None:
        """Nothing of the next epoch is done yet."""
        self.step, self.seconds = 0, 0.0
        self.tally = Tally.empty(len(self.learner.targets), self.job.hardware.device)

    def end_epoch(self, epoch: EpochRecord) -> None:
        """Put a finished epoch on disk: the history first, so that the checkpoint never knows more."""
        self.history.append(epoch)
        if epoch.robust is not None and best_epoch(self.history) == epoch.epoch:
            self.best = {name: value.detach().clone() for name, value in self.learner.model.state_dict().items()}
        self.begin_epoch()
        if self.job.hardware.world.leads:
            write_history(self.job.directory, self.history)
        self.save()

    def save(self) -> None:
        """Write a checkpoint of this very moment; all processes come here together."""
        world = self.job.hardware.world
        world.copy_from_leader(self.learner.statistics)
        sums = world.total(self.tally.sums)
        if world.leads:
            checkpoint = Checkpoint(
                model=self.learner.model.state_dict(),
                optimizer=self.learner.optimizer.state_dict(),
                history=self.history,
                step=self.step,
                sums=sums,
                seconds=self.seconds,
                best=self.best,
            )
            save_checkpoint(self.job.directory, checkpoint)
        world.wait()

    def load(self) -> None:
        """Continue from the latest checkpoint that is sound, or from the beginning where there is none.

        Raises:
            RunError: all that are there are damaged, or belong to another network.
        """
        damaged: list[str] = []
        for path, found in load_checkpoints(self.job.directory):
            if isinstance(found, Checkpoint) and self._fill(found):
                if damaged:
                    self.notes = (f"{damaged[0]}: went back to {path.name}",)
                return
            damaged.append(f"{path} is damaged ({found if isinstance(found, str) else 'of another network'})")
        if damaged:
            raise RunError(f"{'; '.join(damaged)}: start over with --overwrite")

    def _fill(self, found: Checkpoint) -> bool:
        """Whether a checkpoint fits, and was loaded."""
        try:
            self.learner.model.load_state_dict(found.model)
            self.learner.optimizer.load_state_dict(found.optimizer)
        except (RuntimeError, LookupError, ValueError, TypeError):
            return False
        missing = len(self.tally.sums) - len(found.sums)
        if missing not in (0, 2):
            return False
        self.history, self.step, self.seconds, self.best = found.history, found.step, found.seconds, found.best
        if self.job.hardware.world.leads:  # the others' sums are in it already
            # The two sums at the end are younger than some checkpoints, of trainings that have nothing to sum there.
            self.tally = Tally(F.pad(found.sums, (0, missing)).to(self.tally.sums.device))
        return True


def best_epoch(history: list[EpochRecord]) -> int | None:
    """The first epoch with the highest robust accuracy on validation images; None without adversarial training."""
    robust = [(epoch.robust.pgd, -epoch.epoch) for epoch in history if epoch.robust is not None]
    return -max(robust)[1] if robust else None


@float32()
def open_session(job: Job, old: RunRecord | None) -> Session:
    """Start afresh, or continue an earlier run; the directory says so at once."""
    record, device = old or describe(job), job.hardware.device
    # Layers draw their initial weights from torch's global generator; the caller's must not move.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(job.seed, "initial weights"))
        model = build_network(job.recipe, record.data)
    if job.init is not None:
        take_over(model, job.init)
    profile = profile_macs(model, record.data.shape)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    targets = torch.tensor(job.recipe.model.targets, device=device)
    learner = Learner(model, job.training, targets, job.hardware)
    session = Session(
        job=job,
        record=record,
        learner=learner,
        batches=Batches(job.data.train.to(device), job.batch, job.training.augment, job.seed, job.hardware.world),
        validation=job.data.validation.to(device),
        scorer=Scorer(record.family, profile, job.seed, job.hardware.world),
        history=[],
        step=0,
        tally=Tally.empty(len(targets), device),
    )
    if job.hardware.world.leads:
        remove_partial(job.directory)
        if old is None:
            clear_run(job.directory)
    job.hardware.world.wait()
    if old is not None:
        session.load()
    if job.hardware.world.leads:
        write_run(job.directory, record)
        write_history(job.directory, session.history)
    return session


def finish(session: Session, stopped: str | None) -> RunRecord:
    """Score the network of the last epoch, or of the best where one is chosen, save it, and close the record."""
    job, world = session.job, session.job.hardware.world
    if session.best is not None:
        session.learner.model.load_state_dict(session.best)
    world.copy_from_leader(session.learner.statistics)
    validation, test = (
        session.scorer.score(session.learner.model, images, FINAL_DRAWS)
        for images in (session.validation, job.data.test.to(job.hardware.device))
    )
    record = session.record.model_copy(
        update={
            "status": "finished",
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "metrics": Metrics(
                validation=validation,
                test=test,
                dependence=session.scorer.dependence(session.learner.model, session.validation),
            ),
            "best_epoch": best_epoch(session.history),
            "stopped": stopped,
        }
    )
    if world.leads:
        save_weights(session.learner.model, job.directory / WEIGHTS)
        record = record.model_copy(update={"weights_digest": sha256_of(job.directory / WEIGHTS)})
        write_run(job.directory, record)
        drop_checkpoints(job.directory)
    world.wait()
    return record
