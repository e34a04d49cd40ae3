"""Standard training as a generator of events."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustbench_aig.errors import AigrobError
from robustbench_aig.gating import Sampled, gating
from robustbench_aig.randomness import Stream, seed_of
from robustbench_aig.runs import EpochRecord
from robustbench_aig.training.augment import augment
from robustbench_aig.training.events import EpochEvent, Event, FinishedEvent, StepEvent
from robustbench_aig.training.losses import rate_loss
from robustbench_aig.training.schedule import triangular
from robustbench_aig.training.scoring import score
from robustbench_aig.training.session import Job, Session, existing, finish, open_session, save_epoch
from robustbench_aig.training.tally import Means, Tally


def train(job: Job, *, resume: bool = False, tick: float = 0.5) -> Iterator[Event]:
    """Train one network and leave a run directory; nothing happens before the first event is asked for.

    Killed at any moment, it leaves a directory that `resume` continues to the same weights and history (times
    aside), bit for bit on the same machine with the same number of threads. A finished run is kept as it is.

    Args:
        job: what to train, and where to put it.
        resume: continue after the latest epoch on disk, or start where there is none.
        tick: seconds between two step events; each one waits for the device.

    Raises:
        RunError: a run is in the way, damaged, or of other settings.
        AigrobError: the loss is no longer finite.
    """
    old = existing(job, resume=resume)
    if old is not None and old.status == "finished":
        yield FinishedEvent(old)
        return
    session = open_session(job, old)
    # cuDNN's fastest convolutions add up in no fixed order, and a resumed run must equal an uninterrupted one.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True):
        while len(session.history) < job.training.epochs:
            clock = _Clock.of(session)
            record = yield from _epoch(session, clock, tick)
            save_epoch(session, record)
            yield EpochEvent(record, clock.epochs, clock.first + clock.per_epoch)
        yield FinishedEvent(finish(session))


@dataclass(frozen=True)
class _Clock:
    """Where an epoch lies in the whole training; epochs and steps are counted from 0."""

    epoch: int
    epochs: int
    batch: int
    per_epoch: int

    @classmethod
    def of(cls, session: Session) -> _Clock:
        settings = session.job.training
        # Batch-norm dislikes the small rest of an epoch, so it's dropped; a set below one batch is one batch.
        batch = min(settings.batch, len(session.train))
        return cls(len(session.history), settings.epochs, batch, len(session.train) // batch)

    @property
    def first(self) -> int:
        return self.epoch * self.per_epoch

    @property
    def steps(self) -> int:
        return self.epochs * self.per_epoch


def _epoch(session: Session, clock: _Clock, tick: float) -> Generator[StepEvent, None, EpochRecord]:
    """Train one epoch; all that is random derives from the seed, the epoch and the image."""
    job = session.job
    shuffle = torch.Generator().manual_seed(seed_of(job.seed, "order", clock.epoch))
    order = torch.randperm(len(session.train), generator=shuffle).to(job.device)
    generator = torch.Generator(job.device).manual_seed(seed_of(job.seed, "augmentation", clock.epoch))
    tally = Tally(len(session.targets), job.device)
    session.model.train()
    started = told = time.perf_counter()
    for step in range(clock.first, clock.first + clock.per_epoch):
        lr = _set_lr(session, step, clock.steps)
        index = order[(step - clock.first) * clock.batch :][: clock.batch]
        _step(session, index, clock.epoch, generator, tally)
        if time.perf_counter() - told >= tick:
            means = _sound(session, tally, clock.epoch)
            yield StepEvent(
                epoch=clock.epoch + 1,
                epochs=clock.epochs,
                step=step + 1,
                steps=clock.steps,
                loss=means.loss,
                accuracy=means.accuracy,
                rate=means.mean_rate,
            )
            told = time.perf_counter()
    means = _sound(session, tally, clock.epoch)
    seconds = time.perf_counter() - started
    return EpochRecord(
        epoch=clock.epoch + 1,
        lr=lr,
        cross_entropy=means.cross_entropy,
        rate_loss=None if session.rate_loss is None else means.penalty,
        train_accuracy=means.accuracy,
        train_mean_rate=means.mean_rate,
        train_rates=means.rates,
        validation=score(session.model, session.validation, family=session.record.family, seed=job.seed, draws=1),
        seconds=seconds,
        images_per_second=tally.images / seconds,
    )


def _step(session: Session, index: Tensor, epoch: int, generator: torch.Generator, tally: Tally) -> None:
    """One update from the images at `index` (B,)."""
    job, train = session.job, session.train
    x = augment(train.batch(index), job.training.augment, generator)
    x = x.contiguous(memory_format=torch.channels_last)
    labels = train.labels[index]
    noise = Stream.of(train.ids[index], job.seed, "training gates", epoch)
    temperature = 1.0 if session.rate_loss is None else session.rate_loss.temperature
    with (
        torch.autocast(job.device.type, torch.bfloat16, enabled=job.amp),
        gating(session.model, Sampled(noise, temperature)) as trace,
    ):
        logits = session.model(x).float()
    cross_entropy = F.cross_entropy(logits, labels, label_smoothing=job.training.label_smoothing)
    decisions = trace.decisions if trace.gates else logits.new_empty(len(labels), 0)
    penalty = _penalty(session, decisions)
    session.optimizer.zero_grad(set_to_none=True)
    (cross_entropy + penalty).backward()  # type: ignore[no-untyped-call]
    session.optimizer.step()
    tally.add(cross_entropy, penalty, logits.detach().argmax(1) == labels, decisions)


def _penalty(session: Session, decisions: Tensor) -> Tensor:
    """The weighted rate loss of decisions (B, G); 0 for a plain network."""
    settings = session.rate_loss
    if settings is None:
        return decisions.new_zeros(())
    return settings.weight * rate_loss(decisions, session.targets, settings.reduction)


def _set_lr(session: Session, step: int, steps: int) -> float:
    settings = session.job.training
    lr = settings.optimizer.lr * triangular(step, steps, settings.schedule.peak)
    for group in session.optimizer.param_groups:
        group["lr"] = lr
    return lr


def _sound(session: Session, tally: Tally, epoch: int) -> Means:
    """The means so far; AigrobError where the loss is no longer a number."""
    means = tally.means()
    if not means.finite:
        raise AigrobError(
            f"{session.job.directory.name}: the loss became {means.loss} in epoch {epoch + 1}: copy the recipe "
            f"and lower training.optimizer.lr (now {session.job.training.optimizer.lr})"
        )
    return means
