"""The clock beside the count of operations: what it compares, when it runs, and where what it says is kept."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.evaluation import Evaluator, Store, Subject, latency
from robustbench_aig.evaluation.latency import Pictures, measure_latency, sparse_copy
from robustbench_aig.gating import Argmax, Gate, gating
from robustbench_aig.models import GatedResNet, defended, profile_macs
from robustbench_aig.records import Latency
from robustbench_aig.reporting import aggregate
from robustbench_aig.reporting.aggregation import Counted, count
from robustbench_aig.reporting.evidence import load_evidence, load_images
from robustbench_aig.study import timing
from robustbench_aig.study.timing import add_latencies, clocked
from tests.evaluation.conftest import COUNT, SHAPE, evaluator, make
from tests.models.foreign import adapted_sampled, sampled
from tests.networks import gated, gates, images, plain

SIX = 6


class NotBlack(Gate):
    """Open where the features aren't all zero."""

    def logits(self, x: Tensor) -> Tensor:
        score = x.mean((1, 2, 3)) - 1e-9
        return torch.stack([-score, score], 1)


def not_black() -> GatedResNet:
    """Twelve blocks, all open on white images and all closed on black ones, which stay zero up to the logits."""
    torch.manual_seed(0)
    model = GatedResNet(26, 10, mean=[0.0] * 3, std=[1.0] * 3, widths=(16, 16, 16), targets=[0.5] * 12)
    for block in model.modules():
        if hasattr(block, "gate"):
            block.gate = NotBlack()
    return model.eval()


def subject(model: nn.Module, policy: str) -> Subject:
    return Subject("it", model, profile_macs(model, SHAPE), policy)


def pictures(clean: Tensor, attacked: Tensor) -> Pictures:
    return Pictures(torch.arange(len(clean)), clean, attacked)


def measured(of: Subject, shown: Pictures, network: nn.Module | None = None, pairs: int = SIX) -> Latency:
    network = network or sparse_copy(of.model)
    assert network is not None
    found = measure_latency(network, of, shown, seed=0, pairs=pairs)
    assert found is not None
    return found


@pytest.fixture
def _single_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "_TURN", 1e-9)


@pytest.mark.usefixtures("_single_passes")
def test_images_that_open_all_gates_take_longer_than_those_that_close_them() -> None:
    one, (black, white) = subject(not_black(), "argmax"), (torch.full((16, 3, 24, 24), value) for value in (0.0, 1.0))
    with torch.no_grad(), gating(one.model, Argmax()) as trace:
        for x, expected in ((black, 0), (white, 1)):
            one.model(x)
            assert (trace.decisions == expected).all()
    slower, faster = measured(one, pictures(black, white), pairs=9), measured(one, pictures(white, black), pairs=9)
    assert slower.ratio > 1.2
    assert faster.ratio < 1 / 1.2
    for found in (slower, faster):
        assert found.low <= found.ratio <= found.high
        assert (found.images, found.pairs, found.device) == (16, 9, "cpu")
        assert found.threads == torch.get_num_threads()
    assert faster.clean_ms_per_image > slower.clean_ms_per_image


class Clocked(nn.Module):
    """A network that takes 2 seconds for dark images and 5 for others, on a machine that slows down all the time."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.now = 0.0
        self.seen: list[tuple[str, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        dark = bool(x.mean() < 0.4)
        self.now += (2 if dark else 5) * (1 + len(self.seen) // 2)
        self.seen.append(("clean" if dark else "attacked", gates(self.network)[0].trace.decisions))  # type: ignore[union-attr]
        return logits


class Observed(GatedResNet):
    """A subclass, which may compute anything."""


@pytest.mark.usefixtures("_single_passes")
def test_pairs_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock of its own the ratio is exact, though every pair takes longer than the one before."""
    one, (x, _, _) = subject(gated(8), "sampled"), images(5)
    network = Clocked(one.model)
    monkeypatch.setattr("time.perf_counter", lambda: network.now)
    shown = pictures(0.1 * x, 0.1 * x + 0.8)
    found = measured(one, shown, network)
    assert (found.ratio, found.low, found.high) == (2.5, 2.5, 2.5)
    turns = network.seen[4:]  # behind the warm-up
    assert [name for name, _ in turns] == ["clean", "attacked", "attacked", "clean"] * (SIX // 2)
    # 2 seconds times 3, 4, … 8: the median is that of 5 and 6, of five images.
    assert found.clean_ms_per_image == pytest.approx(1000 * 2 * 5.5 / 5)


@pytest.mark.usefixtures("_single_passes")
def test_random_gates_draw_the_same_for_both_and_afresh_for_every_pair() -> None:
    one, (x, _, _) = subject(gated(8), "sampled"), images(20)
    network = Clocked(one.model)
    measured(one, pictures(x, x), network)
    drawn = [decisions for _, decisions in network.seen[4:]]
    pairs = list(zip(drawn[::2], drawn[1::2], strict=True))
    assert all(torch.equal(first, second) for first, second in pairs)
    assert all(not torch.equal(one, other) for (one, _), (other, _) in pairwise(pairs))


def test_small_batches_are_repeated_until_a_turn_is_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "_TURN", 20.0)
    one, (x, _, _) = subject(gated(8), "argmax"), images(5)
    network = Clocked(one.model)
    monkeypatch.setattr("time.perf_counter", lambda: network.now)
    measured(one, pictures(0.1 * x, 0.1 * x + 0.8), network)
    # The second pass over clean images took 2 seconds: ten passes are a turn.
    assert len(network.seen) == 4 + 10 * 2 * SIX


def test_networks_that_compute_every_block_have_no_latency() -> None:
    observed = Observed(8, 10, mean=[0.5] * 3, std=[0.2] * 3, widths=(4, 6, 8), targets=[0.5] * 3).eval()
    assert all(sparse_copy(model) is None for model in (plain(8), adapted_sampled(sampled()), observed))
    assert sparse_copy(gated(8)) is not None
    assert sparse_copy(defended(gated(8), "jpeg:75")) is not None


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_no_latency_where_memory_is_short(error: Exception) -> None:
    class Full(nn.Module):
        def forward(self, _: Tensor) -> Tensor:
            raise error

    one, (x, _, _) = subject(gated(8), "argmax"), images(5)
    assert measure_latency(Full(), one, pictures(x, x), seed=0) is None


def test_other_errors_are_told() -> None:
    class Wrong(nn.Module):
        def forward(self, _: Tensor) -> Tensor:
            raise RuntimeError("shapes")

    one, (x, _, _) = subject(gated(8), "argmax"), images(5)
    with pytest.raises(RuntimeError, match="shapes"):
        measure_latency(Wrong(), one, pictures(x, x), seed=0)


FOUND = Latency(
    ratio=1.5, low=1.4, high=1.6, clean_ms_per_image=0.1, images=9, pairs=15, device="a machine of old", threads=3
)


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    """An evaluation with attacks on the compute; 20 of the 25 images are kept."""
    it = evaluator(tmp_path_factory.mktemp("timed"), make(("fgsm", "compute-up:steps=3", "corners")), keep=20)
    list(it)
    return it


@pytest.fixture
def done(carried_out: Evaluator, tmp_path: Path) -> Evaluator:
    """A copy that a test may change."""
    directory = Path(shutil.copytree(carried_out.store.directory, tmp_path / "copy"))
    return replace(carried_out, store=Store(directory))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Subject, Pictures]]:
    """What is to be measured; nothing is."""
    seen: list[tuple[Subject, Pictures]] = []

    def measure(_: nn.Module, of: Subject, shown: Pictures, *, seed: int) -> Latency:
        assert seed == 0
        seen.append((of, shown))
        return FOUND

    monkeypatch.setattr(timing, "measure_latency", measure)
    return seen


def counted(done: Evaluator) -> Counted:
    return count(load_evidence(done.store.directory))


def kept(done: Evaluator) -> dict[str, object]:
    found: dict[str, object] = json.loads((done.store.directory / "latency.json").read_text())
    return found


def test_compute_attacks_and_the_strongest_one_get_a_clock(
    done: Evaluator, asked: list[tuple[Subject, Pictures]]
) -> None:
    told: list[str] = []
    add_latencies(done, counted(done), told.append)
    report = aggregate(done.store.directory)
    expected = {e.id for e in report.evaluations if e.role == "compute"}
    assert len(expected) == 4
    for policy in ("argmax", "sampled"):
        rivals = [
            e
            for e in report.evaluations
            if (e.model, e.gate_policy, e.role) == ("gated", policy, "attack") and e.threat and e.threat.eps == "8/255"
        ]
        expected.add(min(rivals, key=lambda e: e.robust_accuracy.value).id)
    assert set(kept(done)) == expected == {e.id for e in clocked(counted(done))}
    assert told == ["measuring latency"]
    assert {of.policy for of, _ in asked} == {"argmax", "sampled"}
    for e in report.evaluations:
        assert e.compute is not None
        assert e.compute.latency == (FOUND if e.id in expected else None)


def test_it_is_measured_on_the_stored_images_that_did_not_fail(
    done: Evaluator, asked: list[tuple[Subject, Pictures]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, _, ids = images(COUNT)
    found = counted(done)
    attack = next(e for e in found.evaluations if e.role == "compute")
    failed = int(ids[3])
    rows = found.evidence.rows[attack.id]
    failing = {**found.evidence.rows, attack.id: replace(rows, ok=rows.image != failed)}
    monkeypatch.setattr(timing, "clocked", lambda _: [attack])
    add_latencies(done, replace(found, evidence=replace(found.evidence, rows=failing)), lambda _: None)
    (_, shown) = asked[0]
    stored = load_images(done.store.directory, attack.id, done.plan.data.shape)
    assert stored is not None
    assert shown.ids.tolist() == [image for image in ids[:20].tolist() if image != failed]
    for number, image in enumerate(shown.ids.tolist()):
        assert torch.equal(shown.clean[number], pixels[ids.tolist().index(image)])
        where = stored.ids.tolist().index(image)
        assert torch.equal(shown.attacked[number], torch.from_numpy(stored.pixels[where]))


def test_what_has_a_latency_is_not_measured_again(done: Evaluator, asked: list[tuple[Subject, Pictures]]) -> None:
    add_latencies(done, counted(done), lambda _: None)
    before, told = kept(done), list[str]()
    asked.clear()
    add_latencies(done, counted(done), told.append)
    assert (asked, told, kept(done)) == ([], [], before)
    lost = min(before)
    done.store.manifest.write("latency.json", json.dumps({k: v for k, v in before.items() if k != lost}))
    add_latencies(done, counted(done), told.append)
    assert len(asked) == len(told) == 1
    assert kept(done) == before


@pytest.mark.parametrize("lacking", ["networks that skip", "images"])
def test_nothing_is_said_or_written_where_nothing_can_be_measured(
    done: Evaluator, asked: list[tuple[Subject, Pictures]], lacking: str
) -> None:
    if lacking == "images":
        shutil.rmtree(done.store.directory / "images")
    else:
        done = replace(done, subjects={key: replace(one, model=plain(8)) for key, one in done.subjects.items()})
    told: list[str] = []
    add_latencies(done, counted(done), told.append)
    assert (asked, told) == ([], [])
    assert not (done.store.directory / "latency.json").exists()


@pytest.mark.usefixtures("_single_passes")
def test_all_at_once(done: Evaluator) -> None:
    """Nothing is replaced but the length of a turn."""
    add_latencies(done, counted(done), lambda _: None)
    found = [
        e.compute.latency for e in aggregate(done.store.directory).evaluations if e.role == "compute" and e.compute
    ]
    assert [one and (one.images, one.pairs) for one in found] == [(20, latency.PAIRS)] * 4
