"""Gated networks beside plain ones by the clock: who runs against whom, on which images, and what it says."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.evaluation import Evaluator, Store, latency, network_of_run
from robustbench_aig.evaluation.latency import Runner, measure_pace, sparse_copy
from robustbench_aig.evaluation.planning import make_plan
from robustbench_aig.records import Evaluation, EvaluationPlan, Pace, TrainingRecord
from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting import aggregate, aggregation
from robustbench_aig.reporting.evidence import Evidence, load_images
from robustbench_aig.runs import EpochRecord, Init, RunRecord, read_history, read_run
from robustbench_aig.study import timing
from robustbench_aig.study.timing import add_paces, finish
from robustbench_aig.training import load_model, train
from tests.evaluation.conftest import evaluator, make
from tests.evaluation.test_latency import SIX, not_black, subject
from tests.networks import gated, images, plain
from tests.tiny import job

FOUND = Pace(
    plain="plain",
    ratio=0.8,
    low=0.7,
    high=0.9,
    ms_per_image=0.8,
    plain_ms_per_image=1.0,
    images=20,
    pairs=9,
    device="cpu",
    threads=1,
)


@pytest.fixture(autouse=True)
def _single_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "_TURN", 1e-9)


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    it = evaluator(tmp_path_factory.mktemp("paced"), make(("fgsm",)), keep=20)
    list(it)
    return it


@pytest.fixture
def done(carried_out: Evaluator, tmp_path: Path) -> Evaluator:
    """A copy that a test may change."""
    directory = Path(shutil.copytree(carried_out.store.directory, tmp_path / "copy"))
    return replace(carried_out, store=Store(directory))


def test_closed_blocks_take_less_time_than_open_ones() -> None:
    """Against itself with all gates open: black images close every block, white ones none."""
    one = subject(not_black(), "argmax")
    copy = sparse_copy(one.model)
    assert copy is not None
    ids = torch.arange(16)
    black, white = (torch.full((16, 3, 24, 24), value) for value in (0.0, 1.0))
    opened = replace(one, name="open", policy="open")
    saved, none = (
        measure_pace(Runner(copy, one), Runner(copy, opened), ids, x, seed=0, pairs=9) for x in (black, white)
    )
    assert saved is not None
    assert none is not None
    assert saved.ratio < 1 / 1.2
    assert 0.6 < none.ratio < 1.6
    assert (saved.plain, saved.images, saved.pairs, saved.device) == ("open", 16, 9, "cpu")
    assert saved.low <= saved.ratio <= saved.high
    assert saved.ms_per_image < saved.plain_ms_per_image


class Full(nn.Module):
    def forward(self, _: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_no_pace_where_memory_is_short() -> None:
    one, (x, _, _) = subject(gated(8), "argmax"), images(5)
    other = subject(plain(8), "none")
    runners = Runner(one.model, one), Runner(Full(), other)
    assert measure_pace(*runners, torch.arange(5), x, seed=0, pairs=SIX) is None


def test_every_gated_network_runs_against_its_plain_one(done: Evaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str, str, list[int]]] = []

    def measure(gated: Runner, plain: Runner, ids: Tensor, pixels: Tensor, *, seed: int) -> Pace:
        assert seed == 0
        assert len(ids) == len(pixels)
        seen.append((gated.subject.name, gated.subject.policy, plain.subject.name, ids.tolist()))
        return FOUND

    monkeypatch.setattr(timing, "measure_pace", measure)
    told: list[str] = []
    add_paces(done, told.append)
    clean = [e for e in aggregate(done.store.directory).evaluations if e.role == "clean" and e.model == "gated"]
    stored = load_images(done.store.directory, clean[0].id, done.plan.data.shape)
    assert stored is not None
    assert seen == [("gated", policy, "plain", stored.ids.tolist()) for policy in ("argmax", "sampled")]
    assert told == ["measuring pace beside plain networks"]
    assert [e.compute and e.compute.pace for e in clean] == [FOUND, FOUND]
    add_paces(done, told.append)
    assert len(seen) == 2, "what is known isn't measured again"
    assert len(told) == 1


def test_the_report_has_the_clocks_and_rows_are_counted_once(done: Evaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def spied(evidence: Evidence, planned: EvaluationPlan) -> Evaluation:
        seen.append(planned.id)
        return one_evaluation(evidence, planned)

    one_evaluation = aggregation._evaluation
    monkeypatch.setattr(aggregation, "_evaluation", spied)
    told: list[str] = []
    report = finish(done, told.append)
    assert seen == [e.id for e in done.plan.evaluations]
    assert told == ["measuring latency", "measuring pace beside plain networks"]
    computed = [e.compute for e in report.evaluations if e.compute]
    assert sum(one.pace is not None for one in computed) == 2
    assert sum(one.latency is not None for one in computed) == 2
    assert any(claim.id == "saves-time" for claim in report.claims)
    assert report == aggregate(done.store.directory) == load_report(done.store.directory)


def test_without_clocks_none_is_asked(done: Evaluator) -> None:
    report = finish(done, pytest.fail, clocks=False)
    assert report == load_report(done.store.directory)


def test_what_is_kept_decides_on_the_claim(done: Evaluator) -> None:
    """Measured for once; the verdict follows the interval."""
    add_paces(done, lambda _: None)
    found = json.loads((done.store.directory / "pace.json").read_text())
    assert len(found) == 2
    verdicts = []
    for low, high in ((0.7, 0.9), (0.9, 1.1), (1.1, 1.2)):
        changed = {name: {**pace, "low": low, "ratio": low, "high": high} for name, pace in found.items()}
        done.store.manifest.write("pace.json", json.dumps(changed))
        claims = [c for c in aggregate(done.store.directory).claims if c.id == "saves-time"]
        assert [c.gate_policy for c in claims] == ["sampled", "argmax"]
        verdicts += [claims[0].verdict]
        assert all(c.scope == "repeated timings of this pair of networks on one machine" for c in claims)
    assert verdicts == ["supported", "inconclusive", "unsupported"]


def test_nothing_is_measured_without_images_or_blocks_to_skip(done: Evaluator) -> None:
    told: list[str] = []
    dense = replace(done, subjects={key: replace(one, model=plain(8)) for key, one in done.subjects.items()})
    add_paces(dense, told.append)
    shutil.rmtree(done.store.directory / "images")
    add_paces(done, told.append)
    assert told == []
    assert not (done.store.directory / "pace.json").exists()


def test_the_speed_of_a_training_is_that_of_its_epochs_but_the_first(tmp_path: Path) -> None:
    list(train(job(tmp_path / "run", depth=8, epochs=7)))
    record, history = read_run(tmp_path / "run"), read_history(tmp_path / "run")
    changed = [epoch.model_copy(update={"images_per_second": float(epoch.epoch)}) for epoch in history]
    model = load_model(tmp_path / "run")

    def training(history: Sequence[EpochRecord]) -> TrainingRecord:
        found = network_of_run(record, model, history).record.training
        assert found is not None
        return found

    speed = training(changed).speed
    assert speed is not None
    assert (speed.median, speed.low, speed.high) == (4.5, 2.0, 7.0)
    assert speed.on.threads == torch.get_num_threads()
    assert training(changed[:6]).speed is None
    assert training([]).speed is None


def test_neither_that_speed_nor_the_twin_decides_a_number(done: Evaluator, tmp_path: Path) -> None:
    plan = done.plan
    list(train(job(tmp_path / "run", depth=8, epochs=7)))
    record, history, model = read_run(tmp_path / "run"), read_history(tmp_path / "run"), load_model(tmp_path / "run")

    def digest(run: RunRecord, history: Sequence[EpochRecord]) -> str:
        return make_plan(
            data=plan.data,
            models=[network_of_run(run, model, history).record],
            evaluations=plan.evaluations,
            seed=0,
            chunk=8,
            draws=5,
            command="",
            environment={},
        ).digest

    faster = [epoch.model_copy(update={"images_per_second": 2 * epoch.images_per_second}) for epoch in history]
    assert len({digest(record, epochs) for epochs in (history, faster, [])}) == 1
    of_another = record.recipe.model_copy(update={"twin": "another"})
    assert of_another.twin != record.recipe.twin
    assert digest(record.model_copy(update={"recipe": of_another}), history) == digest(record, history)
    began = [Init(run="plain", weights_digest="ab", tensors=1, recipe_digest=of, seed=0) for of in (None, "cd")]
    assert len({digest(record.model_copy(update={"init": init}), history) for init in [*began, None]}) == 2
    assert digest(record.model_copy(update={"seed": 5}), history) != digest(record, history)
