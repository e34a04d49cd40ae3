"""Attacks on the compute: against optima of the ball, and in what they promise of every image."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Attacked, Corners, run_attack
from robustbench_aig.attacks.attack_problem import Problem
from robustbench_aig.attacks.compute_attacks import ComputeAttack
from robustbench_aig.attacks.gradient_modes import (
    Estimate,
    Mode,
)
from robustbench_aig.attacks.objectives import Objective
from robustbench_aig.gating import Argmax, BlindGate, Expected, Open, Policy, Random, Sampled, gating
from robustbench_aig.models import profile_macs
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import DeployedMode, GateMode, OtherMode, ScoreFunctionMode
from robustbench_aig.recipes.compute_recipes import (
    ComputeObjective,
    ComputeRecipe,
    Direction,
    GatesObjective,
    PowerObjective,
)
from robustbench_aig.threat import Threat
from tests.attacks.steered import L2, LINF, SHAPE, Linear, middle, ray, undecided
from tests.networks import gated, images, plain


def run(
    attack: ComputeAttack,
    model: nn.Module,
    x: Tensor,
    policy: Policy | None = None,
    threat: Threat = LINF,
    *,
    costs: Tensor | None = None,
    copy: nn.Module | None = None,
) -> Attacked:
    y, ids = torch.zeros(len(x), dtype=torch.int64), torch.arange(len(x))
    stream = Stream.of(ids, "attack")
    found = run_attack(attack, model, policy or Argmax(), x, y, threat, stream=stream, seed=0, costs=costs, copy=copy)
    assert found.reason is None
    return found


@torch.no_grad()
def decisions(model: nn.Module, x: Tensor, policy: Policy | None = None) -> tuple[Tensor, Tensor]:
    """Decisions (B, G) and predicted classes (B,)."""
    with gating(model, policy or Argmax()) as trace:
        classes = model(x).argmax(1)
    return trace.decisions != 0, classes


KINDS: dict[str, tuple[GateMode, ComputeObjective]] = {
    "expected": (DeployedMode(), GatesObjective()),
    "ilfo": (DeployedMode(), GatesObjective(name="ilfo")),
    "gradauto": (DeployedMode(), GatesObjective(name="gradauto")),
    "gradmdm": (DeployedMode(), PowerObjective()),
    "detached": (DeployedMode(mode="detached"), GatesObjective()),
    "open": (OtherMode(mode="open"), GatesObjective()),
    "score": (ScoreFunctionMode(draws=2), GatesObjective()),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("threat", [LINF, L2])
def test_gates_in_one_direction_are_driven_to_the_optimum_of_the_ball(
    name: str, direction: Direction, threat: Threat
) -> None:
    """The more w · x, the more are open: at most those open at w · x + eps ‖w‖ in the dual norm, and at least …."""
    model, x = Linear(ray(1, 2, 1.5, 0.5), (-0.15, -0.05, 0.1, 0.02)), middle(60)
    gates, objective = KINDS[name]
    recipe = ComputeRecipe(direction=direction, gates=gates, objective=objective, steps=40, step=0.25)
    attacked = run(ComputeAttack(recipe), model, x, threat=threat)
    w = ray(1)[0]
    unit = w.sign() if threat.norm == "linf" else w / w.norm()
    furthest = x + (1 if direction == "up" else -1) * threat.value * unit.view(SHAPE)
    before, best, found = (decisions(model, each)[0].sum(1) for each in (x, furthest, attacked.images))
    assert (best != before).float().mean() > 0.3
    assert torch.equal(found, best)


@pytest.mark.parametrize("costs", [(1.0, 10.0), (10.0, 1.0)])
def test_costs_decide_between_gates_that_exclude_each_other(costs: tuple[float, float]) -> None:
    model, x = Linear(ray(3, -3), (-0.2, -0.2)), torch.full((4, *SHAPE), 0.5)
    opened = decisions(model, run(ComputeAttack(ComputeRecipe()), model, x, costs=torch.tensor(costs)).images)[0]
    assert opened.tolist() == [[costs[0] > costs[1], costs[0] < costs[1]]] * 4


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("keep", [False, True])
def test_no_image_goes_against_the_direction_or_loses_its_class(name: str, direction: Direction, keep: bool) -> None:
    x = images(24)[0]
    model = undecided(x)
    costs = torch.tensor(profile_macs(model, (3, 12, 12)).blocks, dtype=torch.float64) * torch.tensor([1, 2, 5])
    gates, objective = KINDS[name]
    recipe = ComputeRecipe(direction=direction, gates=gates, objective=objective, steps=6, step=0.3)
    if keep:
        recipe = recipe.changed(keep_prediction=True, anchor=0.01)
    found = run(ComputeAttack(recipe), model, x, costs=costs).images
    (clean, before), (ran, after) = decisions(model, x), decisions(model, found)
    gained = (ran.double() - clean.double()) @ costs * (1 if direction == "up" else -1)
    same = (found == x).flatten(1).all(1)
    assert torch.equal(same, gained <= 0)
    assert (gained >= 0).all()
    assert (gained > 0).any()
    if keep:
        assert torch.equal(after, before)


def test_what_keeps_the_prediction_is_given_up_without_it() -> None:
    """An attack that needn't keep the class goes further, and changes classes."""
    x = images(40)[0]
    model = undecided(x)
    wide = Threat.parse("32/255")
    free, kept = (
        run(ComputeAttack(ComputeRecipe(steps=8, step=0.3, keep_prediction=keep)), model, x, threat=wide)
        for keep in (False, True)
    )
    (_, before), (more, after), (fewer, _) = (decisions(model, each) for each in (x, free.images, kept.images))
    assert (before != after).any()
    assert (more.sum(1) >= fewer.sum(1)).all()
    assert more.sum() > fewer.sum() > decisions(model, x)[0].sum()


def test_the_anchor_finds_more_images_that_keep_their_class() -> None:
    x = images(40)[0]
    model = undecided(x)
    wide = Threat.parse("32/255")

    def opened(anchor: float) -> int:
        attack = ComputeAttack(ComputeRecipe(steps=8, step=0.3, keep_prediction=True, anchor=anchor))
        return int(decisions(model, run(attack, model, x, threat=wide).images)[0].sum())

    assert opened(0.01) > opened(0.0)


def test_it_finds_more_than_noise_of_the_same_size() -> None:
    x, y, ids = images(40)
    model = undecided(x)
    noise = run_attack(Corners(), model, Argmax(), x, y, LINF, stream=Stream.of(ids), seed=0).images
    up, down = (
        run(ComputeAttack(ComputeRecipe(direction=direction)), model, x).images for direction in get_args(Direction)
    )
    open_in = [decisions(model, each)[0].sum().item() for each in (down, x, noise, up)]
    assert open_in[0] < min(open_in[1:3])
    assert open_in[3] > max(open_in[1:3])


def test_random_gates_run_more_on_draws_that_the_attack_never_saw() -> None:
    x, _, ids = images(24)
    model = undecided(x)
    sampled = Sampled(Stream.of(ids, "gates"))
    wide = Threat.parse("16/255")

    def rate(each: Tensor) -> Tensor:
        draws = [decisions(model, each, Sampled(Stream.of(ids, "judge", k)))[0].sum(1) for k in range(60)]
        return torch.stack(draws).double().mean(0)

    for sign, direction in zip((1, -1), get_args(Direction), strict=True):
        attack = ComputeAttack(ComputeRecipe(direction=direction, steps=8, step=0.3))
        gained = sign * (rate(run(attack, model, x, sampled, wide).images) - rate(x))
        assert gained.mean() > 0.1
        assert (gained > -0.35).all()  # five standard errors of a difference of two means


def test_random_gates_keep_the_class_in_every_draw_that_the_attack_saw() -> None:
    x = images(24)[0]
    model = undecided(x)
    kept = ComputeAttack(ComputeRecipe(steps=6, step=0.3, keep_prediction=True))
    found = run(kept, model, x, Sampled(), Threat.parse("16/255")).images
    assert not torch.equal(found, x)
    stream = Stream.of(torch.arange(24), "attack").child(3)
    for draw in range(5):
        sampled = Sampled(stream.child(draw))
        assert torch.equal(decisions(model, found, sampled)[1], decisions(model, x, sampled)[1])


class Blind(nn.Module):
    """Gates that don't look at the image."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.layer = BlindGate(0.4), nn.Linear(3 * 12 * 12, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(self.gate(x, x, lambda part: 2 * part).flatten(1))
        return logits


@pytest.mark.parametrize(
    ("network", "policy"),
    [
        (plain, Argmax()),
        (Blind, Argmax()),
        (Blind, Sampled()),
        (lambda: gated(depth=8, target=1.0), Argmax()),
        (lambda: gated(depth=8), Open()),
        (lambda: gated(depth=8), Expected()),
        (lambda: gated(depth=8), Random(torch.tensor([0.2, 0.5, 0.8]))),
    ],
)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_images_stay_as_they_are_where_no_image_changes_the_compute(
    network: Callable[[], nn.Module], policy: Policy, direction: Direction
) -> None:
    x, _, _ = images(4)
    attack = ComputeAttack(ComputeRecipe(direction=direction, steps=2, restarts=2))
    assert torch.equal(run(attack, network(), x, policy).images, x)


def test_a_copy_is_not_believed() -> None:
    """Its gates open where the network's close, so nothing that it finds counts."""
    x = torch.full((4, *SHAPE), 0.5)
    model, copy = Linear(ray(3, 2), (0.1, 0.1)), Linear(ray(-3, -2), (-0.1, -0.1))
    with_copy = run(ComputeAttack(ComputeRecipe()), model, x, copy=copy)
    assert torch.equal(with_copy.images, x)
    assert (decisions(copy, run(ComputeAttack(ComputeRecipe()), copy, x).images)[0].sum(1) == 2).all()
    assert with_copy.forwards == 1 + 20 + 21


def test_restarts_only_add() -> None:
    """Each of two small steps from the image itself, then from random points."""
    x = images(24)[0]
    model = undecided(x)
    once, more = (run(ComputeAttack(ComputeRecipe(steps=2, step=0.1, restarts=count)), model, x) for count in (1, 4))
    fewest, most = (decisions(model, each.images)[0].sum(1) for each in (once, more))
    assert (most >= fewest).all()
    assert most.sum() > fewest.sum()
    assert (once.forwards, more.forwards) == (2 + 2 * 2, 2 + 4 * 2 * 2)


def test_the_first_start_is_the_image_itself() -> None:
    model, x = Linear(ray(1), (-1e-4,)), torch.full((4, *SHAPE), 0.5)
    changes = run(ComputeAttack(ComputeRecipe(steps=1, step=0.25)), model, x).images - x
    torch.testing.assert_close(changes, (0.25 * LINF.value * ray(1).sign()).view(1, *SHAPE).expand_as(x))


@dataclass(frozen=True)
class ThereAndBack(Mode):
    """Up a direction first and down it for the rest of the steps, whatever the objective."""

    def __call__(
        self, problem: Problem, objective: Objective, adv: Tensor, stream: Stream, progress: float
    ) -> Estimate:
        up = ray(1 if progress < 0.3 else -1).view(1, *SHAPE).expand_as(adv)
        return Estimate(up, adv[:, 0, 0, 0], adv[:, 0, 0, 0])


class Wandering(ComputeAttack):
    @cached_property
    def mode(self) -> Mode:
        return ThereAndBack()


@pytest.mark.parametrize(("costs", "best"), [((1.0, 10.0), 1), ((10.0, 1.0), 0), (None, 0)])
def test_the_iterate_that_costs_most_is_kept(costs: tuple[float, float] | None, best: int) -> None:
    """One gate opens on the way there, the other on the way back; of equals the first is kept."""
    model, x = Linear(ray(3, -3), (-0.2, -0.2)), torch.full((2, *SHAPE), 0.5)
    priced = None if costs is None else torch.tensor(costs)
    found = run(Wandering(ComputeRecipe(steps=8, step=0.5)), model, x, costs=priced).images
    assert decisions(model, found)[0].tolist() == [[best == 0, best == 1]] * 2


def test_an_images_attack_does_not_depend_on_its_chunk() -> None:
    model, x = Linear(ray(1, 2, 1.5), (-0.15, -0.05, 0.1)), middle(12)
    y, streams = torch.zeros(12, dtype=torch.int64), Stream.of(torch.arange(12), "attack")
    attack = ComputeAttack(ComputeRecipe(steps=3, restarts=2))
    whole = run_attack(attack, model, Sampled(), x, y, LINF, stream=streams, seed=0).images
    parts = [
        run_attack(attack, model, Sampled(), x[part], y[part], LINF, stream=streams[part], seed=0).images
        for part in (slice(0, 5), slice(5, 12))
    ]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-6, rtol=0)
    assert not torch.equal(whole, x)
