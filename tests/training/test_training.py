"""The training loop: what it writes, that it learns, and that interruptions change nothing."""

import errno
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustbench_aig.data import load_data
from robustbench_aig.distributed import World
from robustbench_aig.errors import AigrobError, InputError, Interrupted, RunError
from robustbench_aig.gating import Argmax, OpenGate, Sampled, gating
from robustbench_aig.models import profile_macs
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import Adversarial
from robustbench_aig.runs import CHECKPOINT, HISTORY, PREVIOUS, RECORD, WEIGHTS, RunRecord, read_history, read_run
from robustbench_aig.training import (
    EpochEvent,
    Event,
    FinishedEvent,
    Hardware,
    Job,
    NoteEvent,
    StepEvent,
    load_model,
    train,
)
from robustbench_aig.training.scoring import Scorer
from robustbench_aig.training.train_loop import train as train_network
from tests.leftovers import half_written
from tests.tiny import job, recipe, result, write_images


def finish(events: Iterator[Event]) -> RunRecord:
    last = list(events)[-1]
    assert isinstance(last, FinishedEvent)
    return last.record


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """An uninterrupted gated training that no test may change."""
    done = job(tmp_path_factory.mktemp("runs") / "whole")
    finish(train(done))
    return done


def test_a_run_directory_says_everything(finished: Job) -> None:
    record = read_run(finished.directory)
    assert record.status == "finished"
    assert record.family == "gated"
    assert record.metrics is not None
    assert set(record.metrics.test) == {"argmax", "sampled"}
    assert record.metrics.test["sampled"].draws == 10
    assert record.metrics.test["argmax"].n == 364
    history = read_history(finished.directory)
    assert [epoch.epoch for epoch in history] == [1, 2, 3]
    for epoch in history:
        assert len(epoch.train_rates) == len(epoch.validation["argmax"].rates) == 3
        assert epoch.train_mean_rate == pytest.approx(sum(epoch.train_rates) / 3)
        assert epoch.rate_loss is not None
    assert history[-1].cross_entropy < history[0].cross_entropy
    assert not list(finished.directory.glob("*.partial"))


def test_the_loaded_network_scores_what_the_record_says(finished: Job) -> None:
    network = load_model(finished.directory)
    test = finished.data.test
    assert not network.training
    with torch.no_grad(), gating(network, Argmax()) as trace:
        right = (network(test.batch(slice(None))).argmax(1) == test.labels).float().mean().item()
    metrics = read_run(finished.directory).metrics
    assert metrics is not None
    assert right == pytest.approx(metrics.test["argmax"].accuracy)
    assert trace.decisions.mean(0).tolist() == pytest.approx(metrics.test["argmax"].rates)


def test_the_recorded_dependence_on_the_image_is_that_of_the_network(finished: Job) -> None:
    """Cov over images of the open probabilities along two draws, over the variance of the pooled decisions."""
    network, validation = load_model(finished.directory), finished.data.validation
    x, noise = validation.batch(slice(None)), Stream.of(validation.ids, 0, "scoring")
    with torch.no_grad(), gating(network, Sampled(noise)) as trace:
        draws = [(network(x), trace.probabilities.double().numpy())[1] for _ in range(2)]
    with torch.no_grad(), gating(network, Argmax()) as trace:
        network(x)
        paths = {tuple(path) for path in trace.decisions.tolist()}
    covariances = [np.cov(p, again)[0, 1] for p, again in zip(*(draw.T for draw in draws), strict=True)]
    rates = np.concatenate(draws).mean(0)
    metrics = read_run(finished.directory).metrics
    assert metrics is not None
    found = metrics.dependence
    assert found is not None
    assert found.n == len(validation)
    assert found.paths == len(paths)
    assert found.of_gates == pytest.approx(covariances / (rates * (1 - rates)), rel=0.01, abs=1e-6)
    assert found.explained == pytest.approx(sum(covariances) / sum(rates * (1 - rates)), rel=0.01, abs=1e-6)
    last = read_history(finished.directory)[-1].dependence
    assert last == found


def test_of_a_single_validation_image_no_dependence_is_told(tmp_path: Path) -> None:
    photos = load_data(str(write_images(tmp_path / "photos", train=6)), seed=0)
    assert len(photos.validation) == 1
    *_, last = train(replace(job(tmp_path / "run"), data=photos))
    assert isinstance(last, FinishedEvent)
    assert last.record.metrics
    assert last.record.metrics.dependence is None


def test_outputs_that_are_no_numbers_are_never_right(finished: Job) -> None:
    """The largest of ten NaNs is said to be the first: every image of class 0 would count as right."""
    network, validation = load_model(finished.directory), finished.data.validation
    with torch.no_grad():
        network.get_parameter("head.bias").fill_(torch.nan)
    scorer = Scorer("gated", profile_macs(network, finished.data.shape), 0, World())
    with pytest.raises(AigrobError, match=r"no longer finite for 100\.0%.*lower training\.optimizer\.lr"):
        scorer.score(network, validation, draws=1)
    with pytest.raises(AigrobError, match=r"no longer finite for 100\.0%"):
        scorer.robust(network, validation, Adversarial(method="fast", eps="8/255"))


def test_a_plain_network_has_one_policy_and_no_rates(tmp_path: Path) -> None:
    record = finish(train(job(tmp_path / "plain", gated=False)))
    assert record.metrics is not None
    assert set(record.metrics.test) == {"none"}
    assert record.metrics.test["none"].mean_rate is None
    assert record.metrics.dependence is None
    epoch = read_history(tmp_path / "plain")[0]
    assert (epoch.rate_loss, epoch.information_loss, epoch.shaping_loss, epoch.dependence) == (None,) * 4


def test_forced_open_gates_are_recorded_as_one(tmp_path: Path) -> None:
    done = job(tmp_path / "forced", target=[1.0, 0.5, 1.0], epochs=1)
    finish(train(done))
    assert read_history(done.directory)[0].train_rates[::2] == [1.0, 1.0]
    assert sum(isinstance(module, OpenGate) for module in load_model(done.directory).modules()) == 2


def test_a_set_below_one_batch_is_one_batch(tmp_path: Path) -> None:
    small = job(tmp_path / "small", epochs=1)
    few = replace(small.data, train=small.data.train.limit(50, 0))
    events = list(train(replace(small, data=few), tick=0))
    assert [event.steps for event in events if isinstance(event, StepEvent)] == [1]


def test_step_events_are_rare(tmp_path: Path) -> None:
    steps = [event for event in train(job(tmp_path / "slow"), tick=3600) if isinstance(event, StepEvent)]
    assert not steps


def test_a_checkpoint_of_before_gates_had_losses_of_their_own_goes_on(finished: Job, tmp_path: Path) -> None:
    cut = job(tmp_path / "cut")
    steps = iter(range(100))
    with pytest.raises(Interrupted):
        list(train(cut, tick=0, stop=lambda: next(steps) == 7))
    path = cut.directory / CHECKPOINT
    state = torch.load(io.BytesIO(path.read_bytes()[32:]), weights_only=True)
    assert state["sums"][-2:].tolist() == [0, 0]
    buffer = io.BytesIO()
    torch.save({**state, "sums": state["sums"][:-2].clone()}, buffer)
    path.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
    finish(train(cut, resume=True))
    assert result(cut.directory) == result(finished.directory)


def test_another_seed_is_another_training(finished: Job, tmp_path: Path) -> None:
    other = job(tmp_path / "other", seed=1)
    finish(train(other))
    assert result(other.directory)[0] != result(finished.directory)[0]


def test_the_callers_random_numbers_neither_matter_nor_change(finished: Job, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = job(tmp_path / "again")
    finish(train(again))
    assert torch.equal(torch.get_rng_state(), before)
    assert result(again.directory) == result(finished.directory)


@pytest.mark.parametrize("stop", [1, 4, 6, 9, 13, 17, 18])
def test_a_training_stopped_anywhere_resumes_to_the_same_bits(finished: Job, tmp_path: Path, stop: int) -> None:
    """5 steps and an epoch's end make 6 events, three times."""
    cut = job(tmp_path / "cut")
    events = train(cut, tick=0)
    for _ in range(stop):
        next(events)
    events.close()  # type: ignore[attr-defined]
    assert read_run(cut.directory, unfinished=True).status == "training"
    finish(train(cut, resume=True))
    assert result(cut.directory) == result(finished.directory)


def test_resuming_what_never_began_starts_it(finished: Job, tmp_path: Path) -> None:
    fresh = job(tmp_path / "fresh")
    fresh.directory.mkdir()
    finish(train(fresh, resume=True))
    assert result(fresh.directory) == result(finished.directory)


def test_history_beyond_the_checkpoint_is_trained_again(finished: Job, tmp_path: Path) -> None:
    """Killed after the history and before the checkpoint of an epoch."""
    cut = job(tmp_path / "cut")
    events = train(cut, tick=3600)
    assert isinstance(next(events), EpochEvent)
    early = (cut.directory / CHECKPOINT).read_bytes()
    assert isinstance(next(events), EpochEvent)
    events.close()  # type: ignore[attr-defined]
    (cut.directory / CHECKPOINT).write_bytes(early)
    half_written(cut.directory / CHECKPOINT, b"half a check")
    finish(train(cut, resume=True))
    assert result(cut.directory) == result(finished.directory)
    assert not list(cut.directory.glob("*.partial"))


def test_a_finished_run_is_kept(finished: Job) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.directory.iterdir()}
    (event,) = train(finished, resume=True)
    assert event == FinishedEvent(read_run(finished.directory))
    assert before == {path: path.stat().st_mtime_ns for path in finished.directory.iterdir()}


def test_a_run_in_the_way_is_refused(finished: Job) -> None:
    with pytest.raises(RunError, match="already trained: --resume keeps it, --overwrite"):
        next(train(finished))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"recipe": recipe(lr=0.06)}, "recipe.training.optimizer.lr was 0.05, now 0.06"),
        ({"recipe": recipe(epochs=9)}, "recipe.training.epochs was 3, now 9"),
        ({"seed": 4}, "seed was 0, now 4"),
        ({"hardware": Hardware(amp=True)}, "precision was fp32, now bf16"),
    ],
)
def test_changed_settings_are_refused_on_resume(finished: Job, changed: dict[str, object], words: str) -> None:
    with pytest.raises(RunError, match=words):
        next(train(replace(finished, **changed), resume=True))  # type: ignore[arg-type]


def test_other_images_are_refused_on_resume(finished: Job) -> None:
    with pytest.raises(RunError, match=r"data\.mean was"):
        next(train(replace(finished, data=replace(finished.data, train=finished.data.test)), resume=True))


def interrupted(directory: Path, *, epochs: int = 1, **changes: Any) -> Job:
    """A training of three epochs that was killed after some of them."""
    cut = job(directory, **changes)
    events = train(cut, tick=3600)
    for _ in range(epochs):
        assert isinstance(next(events), EpochEvent)
    events.close()  # type: ignore[attr-defined]
    return cut


def flip_a_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda _: b"",
    lambda _: b"PK\x03\x04 truncated",
    lambda content: content[:5000],
    flip_a_bit,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    finished: Job, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    cut = interrupted(tmp_path / "cut", epochs=2)
    path = cut.directory / CHECKPOINT
    path.write_bytes(damage(path.read_bytes()))
    events = list(train(cut, resume=True, tick=3600))
    assert isinstance(events[0], NoteEvent)
    assert re.search(r"last\.ckpt is damaged \(.+\): went back to previous\.ckpt", events[0].text)
    assert [event.record.epoch for event in events if isinstance(event, EpochEvent)] == [2, 3]
    assert result(cut.directory) == result(finished.directory)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoints_are_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    cut = interrupted(tmp_path / "cut", epochs=2)
    for name in (CHECKPOINT, PREVIOUS):
        path = cut.directory / name
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError, match=r"last.ckpt is damaged .*previous.ckpt is damaged .* --overwrite") as caught:
        next(train(cut, resume=True))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    cut, gated = interrupted(tmp_path / "cut", gated=False), interrupted(tmp_path / "gated")
    (cut.directory / CHECKPOINT).write_bytes((gated.directory / CHECKPOINT).read_bytes())
    with pytest.raises(RunError, match=r"last.ckpt is damaged \(of another network\)"):
        next(train(cut, resume=True))


def test_killed_between_two_checkpoints_the_one_before_is_enough(finished: Job, tmp_path: Path) -> None:
    cut = interrupted(tmp_path / "cut", epochs=2)
    (cut.directory / CHECKPOINT).replace(cut.directory / PREVIOUS)
    finish(train(cut, resume=True))
    assert result(cut.directory) == result(finished.directory)


@pytest.mark.parametrize("steps", [1, 3, 5, 6])
def test_a_training_told_to_stop_saves_its_place_in_the_epoch(finished: Job, tmp_path: Path, steps: int) -> None:
    """5 steps make an epoch; both halves of an epoch end in the same record, and no step is done twice."""
    cut = job(tmp_path / "cut")
    asked = iter([False] * (steps - 1) + [True])
    with pytest.raises(Interrupted, match=r"interrupted in epoch ., step . of 5; .* --resume"):
        list(train(cut, stop=lambda: next(asked)))
    left = [event for event in train(cut, resume=True, tick=0) if isinstance(event, StepEvent)]
    assert [event.step for event in left] == list(range(steps + 1, 16))
    assert result(cut.directory) == result(finished.directory)


def test_a_long_epoch_is_saved_now_and_then(finished: Job, tmp_path: Path) -> None:
    cut = job(tmp_path / "cut")
    events = train(cut, tick=0, save_every=0)
    for _ in range(4):
        next(events)
    events.close()  # type: ignore[attr-defined]
    again = train(cut, resume=True, tick=0)
    first = next(again)
    assert isinstance(first, StepEvent)
    assert first.step == 4
    finish(again)
    assert result(cut.directory) == result(finished.directory)


def test_a_full_disk_loses_nothing(finished: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = job(tmp_path / "cut")
    events = train(cut, tick=3600)
    next(events)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left on device; free some space"):
            next(events)
    finish(train(cut, resume=True))
    assert result(cut.directory) == result(finished.directory)


def test_a_loss_that_explodes_stops_with_the_epoch_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(AigrobError, match=r"the loss became (nan|inf) in epoch 1: .*optimizer.lr \(now 1e\+30\)"):
        finish(train(job(tmp_path / "wild", lr=1e30)))


def test_bf16_trains(tmp_path: Path) -> None:
    record = finish(train_network(replace(job(tmp_path / "half", epochs=1), hardware=Hardware(amp=True))))
    assert record.precision == "bf16"


def test_nothing_secret_or_executable_is_in_the_checkpoint(finished: Job, tmp_path: Path) -> None:
    cut = interrupted(tmp_path / "cut", epochs=2)
    content = (cut.directory / CHECKPOINT).read_bytes()
    assert hashlib.sha256(content[32:]).digest() == content[:32]
    state = torch.load(io.BytesIO(content[32:]), weights_only=True)
    assert set(state) == {"model", "optimizer", "history", "step", "sums", "seconds", "best"}
    assert [json.loads(line)["epoch"] for line in state["history"]] == [1, 2]
    assert {path.name for path in cut.directory.glob("[!.]*")} == {RECORD, HISTORY, CHECKPOINT, PREVIOUS}
    assert {path.name for path in finished.directory.glob("[!.]*")} == {RECORD, WEIGHTS, HISTORY}
