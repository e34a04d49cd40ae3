"""What `cli.tensorboard` writes, read back by TensorBoard's own reader and, without its purging, record by record."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader  # type: ignore[import-untyped]

from robustbench_aig.cli.tensorboard import check_tensorboard, logged, scalars
from robustbench_aig.errors import InputError, Interrupted
from robustbench_aig.recipes.model_recipes import gate_places
from robustbench_aig.runs import HISTORY, read_history, read_run, write_history, write_run
from robustbench_aig.training import EpochEvent, Event, FinishedEvent, NoteEvent, train
from tests.reporting import trained
from tests.tiny import job

Points = dict[str, list[tuple[int, float]]]


def reader(log: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(log), size_guidance={"scalars": 0})
    accumulator.Reload()
    return accumulator


def shown(log: Path) -> Points:
    """What TensorBoard would show: points by tag."""
    found = reader(log)
    return {tag: [(point.step, point.value) for point in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def stored(log: Path) -> Counter[tuple[str, int]]:
    """How often each point is there for a reader that knows nothing of purging."""
    events = chain.from_iterable(EventFileLoader(str(path)).Load() for path in log.glob("*tfevents*"))
    return Counter((value.tag, event.step) for event in events for value in event.summary.value)


def assert_log_is_history(log: Path, run: Path) -> None:
    history, gates = read_history(run), gate_places(read_run(run, unfinished=True).recipe.model)
    epochs = {tag: points for tag, points in shown(log).items() if not tag.startswith("live/")}
    expected: Points = {}
    for record in history:
        for tag, value in scalars(record, gates).items():
            if value is not None:
                expected.setdefault(tag, []).append((record.epoch, value))
    assert epochs.keys() == expected.keys()
    for tag, points in expected.items():
        assert [step for step, _ in epochs[tag]] == [epoch for epoch, _ in points]
        # Scalars are stored in single precision.
        assert [value for _, value in epochs[tag]] == pytest.approx([value for _, value in points], rel=1e-6)
    assert set(stored(log).values()) == {1}


def stopping(after: int) -> Callable[[], bool]:
    steps = iter(range(after))
    return lambda: next(steps, None) is None


def test_every_number_of_an_epoch_is_there() -> None:
    of = trained.recipe(adversarial="trades")
    record = trained.history(of)[-1]
    found = scalars(record, gate_places(of.model))
    assert record.robust is not None
    assert record.divergence is not None
    assert record.rate_loss is not None
    assert found["loss/total"] == record.cross_entropy + record.divergence + record.rate_loss
    assert (found["attacked/fgsm"], found["attacked/pgd"]) == (record.robust.fgsm, record.robust.pgd)
    assert [found[f"rate training/gate {stage}.{block}"] for stage in "123" for block in "123"] == record.train_rates
    assert record.dependence is not None
    assert (found["dependence/explained"], found["dependence/paths"]) == (record.dependence.explained, 57)
    assert [
        found[f"explained/gate {stage}.{block}"] for stage in "123" for block in "123"
    ] == record.dependence.of_gates
    for policy in ("argmax", "sampled"):
        score = record.validation[policy]
        assert found[f"accuracy/validation {policy}"] == score.accuracy
        assert found[f"macs/validation {policy}"] == score.mean_macs
        assert found[f"rate validation {policy}/gate 3.1"] == score.rates[6]
    # All that is a number, and nothing else: 9 of the epoch, 2 × 3 of validation, 2 attacked, 3 × 9 of gates; 2 of
    # dependence, and 8 gates that vary.
    assert len([value for value in found.values() if value is not None]) == 9 + 6 + 2 + 27 + 2 + 8


def test_plain_network_has_no_rates() -> None:
    (record,) = trained.history(trained.recipe(family="plain", epochs=1))
    tags = {tag for tag, value in scalars(record, []).items() if value is not None}
    assert "accuracy/validation" in tags
    assert not [tag for tag in tags if "rate" in tag]


def test_log_of_a_training_is_its_history(tmp_path: Path) -> None:
    events = list(logged(train(job(tmp_path / "run", epochs=2), tick=0), tmp_path / "run", tmp_path / "log"))
    assert isinstance(events[-1], FinishedEvent)
    assert_log_is_history(tmp_path / "log", tmp_path / "run")
    live = shown(tmp_path / "log")
    record = read_history(tmp_path / "run")[-1]
    steps, accuracies = zip(*live["live/accuracy"], strict=True)
    assert list(steps) == sorted(set(steps))
    assert accuracies[-1] == pytest.approx(record.train_accuracy)
    assert live["live/rate"][-1][1] == pytest.approx(record.train_mean_rate)
    assert live["live/loss"][-1][1] == pytest.approx(record.cross_entropy + (record.rate_loss or 0))


def test_resumed_training_has_no_point_twice_and_none_is_missing(tmp_path: Path) -> None:
    of, run, log = job(tmp_path / "run", epochs=3), tmp_path / "run", tmp_path / "log"
    with pytest.raises(Interrupted):
        list(logged(train(of, tick=0, stop=stopping(8)), run, log))
    (log / "notes.txt").write_text("mine")
    list(logged(train(of, tick=0, resume=True), run, log))
    assert_log_is_history(log, run)
    assert len(read_history(run)) == 3
    assert (log / "notes.txt").read_text() == "mine"
    # Kept as it is, it is logged all the same.
    for path in log.glob("*tfevents*"):
        path.unlink()
    list(logged(train(of, resume=True), run, log))
    assert_log_is_history(log, run)


def test_an_epoch_that_is_on_disk_before_it_is_told_is_written_once(tmp_path: Path) -> None:
    """As in an epoch that is shorter than the time between two step events. A log from before is forgotten, also by
    a TensorBoard that has been looking at it."""
    of = trained.recipe(epochs=5)
    past, log = trained.history(of), tmp_path / "log"
    write_run(tmp_path, trained.unfinished(of, past))

    def events(records: list[int]) -> Iterator[Event]:
        for epoch in records:
            write_history(tmp_path, past[:epoch])
            yield EpochEvent(past[epoch - 1], 5, epoch)

    list(logged(events([1, 2, 3, 4]), tmp_path, log))
    assert_log_is_history(log, tmp_path)
    watching = reader(log)
    # The checkpoints of the third and fourth epoch are damaged: these are trained again.
    list(logged(events([3, 4, 5]), tmp_path, log))
    assert_log_is_history(log, tmp_path)
    watching.Reload()
    for found in (reader(log), watching):
        assert [point.step for point in found.Scalars("lr")] == [1, 2, 3, 4, 5]


def test_notes_are_text(tmp_path: Path) -> None:
    of = trained.recipe(epochs=1)
    write_run(tmp_path, trained.unfinished(of, []))
    (tmp_path / HISTORY).touch()
    list(logged(iter([NoteEvent("went back to previous.ckpt")]), tmp_path, tmp_path / "log"))
    (note,) = reader(tmp_path / "log").Tensors("notes/text_summary")
    assert note.tensor_proto.string_val == [b"went back to previous.ckpt"]


def test_without_the_extra_one_line_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(InputError, match=r"pip install 'robustbench_aig\[tensorboard\]'") as caught:
        check_tensorboard()
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError):
        next(logged(train(job(tmp_path / "run")), tmp_path / "run", tmp_path / "log"))
    assert not (tmp_path / "run").exists()


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    of = trained.recipe(epochs=1)
    write_run(tmp_path, trained.unfinished(of, []))
    (tmp_path / HISTORY).touch()
    (tmp_path / "log").write_text("a file")
    with pytest.raises(InputError, match="cannot write"):
        list(logged(iter([NoteEvent("")]), tmp_path, tmp_path / "log"))
