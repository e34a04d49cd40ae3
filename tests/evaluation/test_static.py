"""One path for all images: against brute force, path by path, and on gates of which the answer is known."""

from itertools import product

import pytest
import torch
from torch import nn

from robustbench_aig.data.images import ImageSet, resident
from robustbench_aig.errors import InputError
from robustbench_aig.evaluation import Network, judge
from robustbench_aig.evaluation import static_path_search as room
from robustbench_aig.evaluation.static_path_search import with_patterns
from robustbench_aig.gating import Argmax, Frozen, gating
from robustbench_aig.models import profile_macs
from robustbench_aig.records import GateRecord, ModelRecord
from tests.networks import gated, gates, images

COUNT, SIZE = 60, 12


def network(model: nn.Module) -> Network:
    profile = profile_macs(model, (3, SIZE, SIZE))
    record = ModelRecord(
        name="gated",
        recipe="gated",
        family="gated",
        parameters=1,
        total_macs=profile.total,
        gates=[GateRecord(name=str(g), macs=macs, target=0.6) for g, macs in enumerate(profile.blocks)],
        weights_digest="",
    )
    return Network(record, model, profile)


def validation(model: nn.Module) -> ImageSet:
    """Labelled as the network with all gates open sees them, so that paths differ in what they get right."""
    pixels, _, ids = images(COUNT, SIZE)
    with torch.no_grad():
        labels = model(pixels).argmax(1)
    return resident((pixels * 255).round().to(torch.uint8), labels, ids)


def right_under(of: Network, images: ImageSet, path: tuple[float, ...]) -> int:
    """Of one path, by itself."""
    x = images.batch(slice(None))
    with torch.no_grad(), gating(of.model, Frozen(torch.tensor([path]).expand(len(x), -1))):
        return int((of.model(x).argmax(1) == images.labels).sum())


def spent(of: Network, path: tuple[float, ...]) -> float:
    return of.profile.fixed + sum(z * cost for z, cost in zip(path, of.profile.blocks, strict=True))


@pytest.mark.parametrize("rows", [4096, 100])
def test_the_best_path_is_that_of_brute_force(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_ROWS", rows)
    of = network(gated(depth=8))
    some = validation(of.model)
    found = with_patterns(of, some, 0).record.patterns
    x = some.batch(slice(None))
    with torch.no_grad(), gating(of.model, Argmax()) as trace:
        of.model(x)
    decisions = trace.decisions
    most = float(of.profile.executed(decisions).mean())
    every = {path: right_under(of, some, path) for path in product((0.0, 1.0), repeat=3) if spent(of, path) <= most}
    best, majority = found["static"], found["majority"]
    assert best.most_macs == pytest.approx(most)
    assert best.tried == len(every)
    assert best.every
    assert round(best.accuracy * COUNT) == max(every.values()) == every[tuple(map(float, best.opened))]
    assert majority.opened == (decisions.mean(0) >= 0.5).tolist()
    assert round(majority.accuracy * COUNT) == right_under(of, some, tuple(map(float, majority.opened)))
    assert best.macs == pytest.approx(spent(of, tuple(map(float, best.opened))))
    assert best.macs <= most


def test_many_gates_are_closed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FEW", 2)
    of = network(gated(depth=8))
    some = validation(of.model)
    best = with_patterns(of, some, 0).record.patterns["static"]
    assert not best.every
    now: tuple[float, ...] = (1.0, 1.0, 1.0)
    while spent(of, now) > best.most_macs:
        ways = [tuple(0.0 if g == closed else z for g, z in enumerate(now)) for closed in range(3) if now[closed]]
        now = max(ways, key=lambda path: right_under(of, some, path))
    assert round(best.accuracy * COUNT) >= right_under(of, some, now)


def test_a_gate_that_is_forced_open_stays_open() -> None:
    of = network(gated(depth=8))
    first = [gate.model_copy(update={"target": 1.0}) if not g else gate for g, gate in enumerate(of.record.gates)]
    forced = Network(of.record.model_copy(update={"gates": first}), of.model, of.profile)
    search = room.Search(forced, validation(of.model), 0, None)
    assert search.every(float("inf")).shape == (4, 3)
    assert search.every(float("inf"))[:, 0].all()


def test_where_gates_do_not_look_one_path_is_what_argmax_gates_do() -> None:
    model = gated(depth=8)
    for g, gate in enumerate(gates(model)):
        nn.init.zeros_(gate.fc2.weight)
        gate.fc2.bias.data = torch.tensor([0.0, 1.0 if g != 1 else -1.0])
    of = network(model)
    found = with_patterns(of, validation(model), 0)
    assert found.record.patterns["majority"].opened == [True, False, True]
    x, y, ids = images(COUNT, SIZE, seed=3)
    argmax, majority = (judge(found.subject(p), x, y, ids=ids, seed=0, draws=1) for p in ("argmax", "majority"))
    torch.testing.assert_close(argmax.margins, majority.margins)
    torch.testing.assert_close(argmax.macs, majority.macs)
    assert found.record.patterns["static"].accuracy >= found.record.patterns["majority"].accuracy


def test_a_path_that_nobody_has_found_is_refused() -> None:
    with pytest.raises(InputError, match="validation images"):
        network(gated(depth=8)).subject("static")
