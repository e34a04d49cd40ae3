"""Training as a generator of events."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from robustbench_aig.commands import with_flag
from robustbench_aig.errors import AigrobError, Interrupted
from robustbench_aig.files import make_folder
from robustbench_aig.locks import only_writer
from robustbench_aig.runs import EpochRecord
from robustbench_aig.training.epoch_sums import Means
from robustbench_aig.training.events import EpochEvent, Event, FinishedEvent, NoteEvent, StepEvent
from robustbench_aig.training.job import Job, existing
from robustbench_aig.training.schedule import factor
from robustbench_aig.training.scoring import overfitted
from robustbench_aig.training.session import Session, best_epoch, finish, open_session

_AGREE = 16
"""Steps between two moments at which several processes agree whether to stop; one process looks after every step."""


def train(
    job: Job,
    *,
    resume: bool = False,
    tick: float = 0.5,
    save_every: float = 600,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Train one network and leave a run directory; nothing happens before the first event is asked for.

    Killed at any moment, it leaves a directory that `resume` continues to the same weights and history (times
    aside), bit for bit on the same machine with the same number of threads. A finished run is kept as it is.

    Args:
        job: what to train, and where to put it.
        resume: continue from the latest checkpoint, or start where there is none.
        tick: seconds between two step events; each one waits for the device.
        save_every: seconds after which a checkpoint is written inside an epoch.
        stop: asked after every step; where it says so, a checkpoint is written and the training interrupted.

    Raises:
        RunError: a run is in the way, damaged, or of other settings.
        AigrobError: the loss is no longer finite, or no epoch of single-step adversarial training is worth keeping.
        Interrupted: `stop` said so.
    """
    old = existing(job, resume=resume)
    if old is not None and old.status == "finished":
        yield FinishedEvent(old)
        return
    with _in_directory(job):
        session = open_session(job, old)
        for note in session.notes:
            yield NoteEvent(note)
        stopped = _alarm(session)
        while len(session.history) < job.training.epochs and stopped is None:
            record = yield from _epoch(session, _Pace(tick, save_every, stop))
            session.end_epoch(record)
            yield EpochEvent(record, job.training.epochs, len(session.history) * session.batches.per_epoch)
            stopped = _alarm(session)
        if stopped is not None:
            yield NoteEvent(stopped)
        yield FinishedEvent(finish(session, stopped))


@contextmanager
def _in_directory(job: Job) -> Iterator[None]:
    """The directory is there, and inside no other training writes it, whatever ends this one."""
    if job.hardware.world.leads:
        make_folder(job.directory)
        with only_writer(job.directory):
            yield
    else:
        yield


class _Pace:
    """When to tell, to save and to stop; times in seconds."""

    def __init__(self, tick: float, save_every: float, stop: Callable[[], bool]) -> None:
        self.tick, self.save_every, self.stop = tick, save_every, stop
        self.told = self.saved = time.perf_counter()


def _epoch(session: Session, pace: _Pace) -> Generator[StepEvent, None, EpochRecord]:
    """Train one epoch, or what is left of it."""
    job, learner, epoch = session.job, session.learner, len(session.history)
    per_epoch = session.batches.per_epoch
    learner.model.train()
    started = time.perf_counter() - session.seconds
    for batch in session.batches.epoch(epoch, session.step):
        session.tally.add(learner.update(batch, _rate(session, session.step), _progress(session, session.step)))
        session.step += 1
        if time.perf_counter() - pace.told >= pace.tick:
            yield _told(session)
            pace.told = time.perf_counter()
        session.seconds = time.perf_counter() - started
        _save_or_stop(session, pace)
    means = _sound(session, session.tally.means(job.hardware.world))
    seconds = time.perf_counter() - started
    adversarial, gates = job.training.adversarial, job.training.gates
    # Each process saw other batches: all must score with the statistics that are saved.
    job.hardware.world.copy_from_leader(learner.statistics)
    return EpochRecord(
        epoch=epoch + 1,
        lr=_rate(session, per_epoch - 1),
        cross_entropy=means.cross_entropy,
        divergence=means.divergence if adversarial and adversarial.method == "trades" else None,
        rate_loss=means.penalty if job.training.rate_loss else None,
        information_loss=means.information if gates and gates.mutual_information else None,
        shaping_loss=means.shaping if gates and gates.batch_shaping else None,
        train_accuracy=means.accuracy,
        train_mean_rate=means.mean_rate,
        train_rates=means.rates,
        validation=session.scorer.score(learner.model, session.validation, draws=1),
        dependence=session.scorer.dependence(learner.model, session.validation),
        robust=session.scorer.robust(learner.model, session.validation, adversarial) if adversarial else None,
        seconds=seconds,
        images_per_second=per_epoch * session.batches.size / seconds,
    )


def _progress(session: Session, step: int) -> float:
    """The share of the training that is done at a step of the epoch under way."""
    done, per_epoch = len(session.history), session.batches.per_epoch
    return (done * per_epoch + step) / (session.job.training.epochs * per_epoch)


def _rate(session: Session, step: int) -> float:
    """The learning rate at a step of the epoch under way."""
    training, per_epoch, epoch = session.job.training, session.batches.per_epoch, len(session.history)
    share = factor(training.schedule, epoch * per_epoch + step, training.epochs * per_epoch, epoch)
    return training.optimizer.lr * share


def _save_or_stop(session: Session, pace: _Pace) -> None:
    """Write a checkpoint inside an epoch where it's time; end the training where somebody says so."""
    world, device = session.job.hardware.world, session.job.hardware.device
    done = len(session.history) * session.batches.per_epoch + session.step
    # To agree costs a message between all processes, which every step would wait for.
    if world.size > 1 and done % _AGREE:
        return
    stop = world.any(pace.stop(), device)
    if stop or world.any(time.perf_counter() - pace.saved >= pace.save_every, device):
        session.save()
        pace.saved = time.perf_counter()
    if stop:
        where = f"epoch {len(session.history) + 1}, step {session.step} of {session.batches.per_epoch}"
        job = session.job
        raise Interrupted(
            f"{job.directory.name}: interrupted in {where}; it is saved in {job.directory}, continue with: "
            f"{with_flag(job.command, '--resume')}"
        )


def _told(session: Session) -> StepEvent:
    means = _sound(session, session.tally.means())
    before = len(session.history) * session.batches.per_epoch
    return StepEvent(
        epoch=len(session.history) + 1,
        epochs=session.job.training.epochs,
        step=before + session.step,
        steps=session.job.training.epochs * session.batches.per_epoch,
        loss=means.loss,
        accuracy=means.accuracy,
        rate=means.mean_rate,
    )


def _sound(session: Session, means: Means) -> Means:
    """The means; AigrobError where the loss is no longer a number."""
    if not means.finite:
        job = session.job
        raise AigrobError(
            f"{job.directory.name}: the loss became {means.loss} in epoch {len(session.history) + 1}: copy the recipe "
            f"and lower training.optimizer.lr (now {job.training.optimizer.lr})"
        )
    return means


def _alarm(session: Session) -> str | None:
    """Why single-step adversarial training must end here; None where it may go on.

    Raises:
        AigrobError: no earlier epoch is worth keeping.
    """
    settings, history = session.job.training.adversarial, session.history
    robust = [epoch.robust for epoch in history if epoch.robust is not None]
    classes = len(session.job.data.classes)
    if settings is None or settings.method != "fast" or not robust or not overfitted(robust, classes):
        return None
    last, best = robust[-1], best_epoch(history)
    what = (
        f"catastrophic overfitting in epoch {len(history)}: of {last.n} validation images {last.fgsm:.1%} are "
        f"robust to one step and {last.pgd:.1%} to {last.steps} steps"
    )
    if best is None or overfitted(robust[:best], classes):
        raise AigrobError(
            f"{session.job.directory.name}: {what}, and no earlier epoch can be used: lower the step "
            f"(training.adversarial.step, now {settings.step}) or use --adversarial pgd"
        )
    return f"{what}; training was stopped and the weights of epoch {best} are used ({robust[best - 1].pgd:.1%} robust)"
