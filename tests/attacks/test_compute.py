"""Attacks on the compute: against closed forms, by hand, and in what they promise of every image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Attacked, Corners, View, build_attack, run_attack
from robustbench_aig.attacks.compute import ComputeAttack
from robustbench_aig.attacks.compute_objectives import (
    Anchored,
    ComputeObjective,
    Direction,
    ExpectedCompute,
    Held,
    Hinge,
    Power,
    Projected,
)
from robustbench_aig.attacks.modes import AllOpen, Detached, Estimate, Mode, ScoreFunction, StraightThrough
from robustbench_aig.attacks.objectives import Objective
from robustbench_aig.attacks.problem import Pass, Problem
from robustbench_aig.gating import Argmax, BlindGate, Expected, Gate, Open, Policy, Random, Sampled, gating
from robustbench_aig.models import GatedResNet, profile_macs
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import AttackRecipe, change_attack, validate
from robustbench_aig.threat import Threat
from tests.networks import gated, gates, images, plain

LINF = Threat.parse("8/255")
L2 = Threat.parse("0.5", "l2")
SHAPE = (1, 2, 3)


class Looking(Gate):
    """D = w · (x - 0.5) + b of the image itself."""

    def __init__(self, weight: Tensor, bias: float) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), bias

    def logits(self, x: Tensor) -> Tensor:
        score = (x - 0.5).flatten(1) @ self.weight + self.bias
        return torch.stack([torch.zeros_like(score), score], 1)


class Linear(nn.Module):
    """Gates that are linear in the image, and open blocks that each add to one class."""

    def __init__(self, weights: Tensor, biases: Sequence[float]) -> None:
        super().__init__()
        self.gates = nn.ModuleList(Looking(w, b) for w, b in zip(weights, biases, strict=True))
        self.blocks = torch.eye(len(biases), 4) * 0.1

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(1)[:, :4, None, None]
        for gate, block in zip(self.gates, self.blocks, strict=True):
            h = gate(x, h, lambda part, block=block: block[:, None, None].expand(len(part), -1, 1, 1))
        return h.flatten(1)


@torch.no_grad()
def undecided(x: Tensor) -> GatedResNet:
    """A gated network for which neither gates nor classes are the same for all of these images."""
    model = gated(depth=8)
    for place, gate in enumerate(gates(model)):
        with gating(model, Argmax()) as trace:
            model(x)
        score = trace.probabilities[:, place].double().logit().float()
        gate.fc2.weight.mul_(1.5 / score.std())
        gate.fc2.bias.copy_(torch.tensor([0, -1.5 * score.mean() / score.std()]))
    logits = model(x)
    model.head.weight.mul_(3 / logits.std(0).mean())
    model.head.bias.sub_(model(x).mean(0))
    return model


def ray(*scales: float) -> Tensor:
    """Gates that look in the same direction, or against it."""
    direction = torch.randn(6, generator=torch.Generator().manual_seed(1))
    return torch.tensor(scales)[:, None] * direction


def middle(count: int) -> Tensor:
    """Images too far from 0 and 1 for the box to matter."""
    return 0.4 + 0.2 * torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(0))


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


def objectives(direction: Direction) -> dict[str, tuple[Mode, ComputeObjective]]:
    return {
        "expected": (StraightThrough(), ExpectedCompute(direction)),
        "ilfo": (StraightThrough(), Hinge(direction)),
        "gradauto": (Projected(StraightThrough(), Held(direction)), Hinge(direction)),
        "gradmdm": (StraightThrough(), Power(direction)),
        "detached": (Detached(), ExpectedCompute(direction)),
        "open": (AllOpen(), ExpectedCompute(direction)),
        "score": (ScoreFunction(draws=2), ExpectedCompute(direction)),
    }


def passed(*probabilities: float, logits: Sequence[float] = (0, 0)) -> Pass:
    p = torch.tensor([probabilities], dtype=torch.float64)
    return Pass(torch.tensor([logits], dtype=torch.float64), p, p)


def problem_of(model: nn.Module, x: Tensor, costs: Tensor | None = None, clean: Pass | None = None) -> Problem:
    y = torch.zeros(len(x), dtype=torch.int64)
    return Problem(View(model, costs=costs), x, y, LINF, Stream.of(torch.arange(len(x))), clean=clean)


ANY = problem_of(nn.Identity(), middle(1))


def test_the_expected_compute_weighs_gates_by_their_costs() -> None:
    priced = problem_of(nn.Identity(), middle(1), torch.tensor([1.0, 3.0], dtype=torch.float64))
    found = passed(0.2, 0.9)
    assert ExpectedCompute()(found, priced, 0.0).item() == pytest.approx((0.2 + 2.7) / 4)
    assert ExpectedCompute("down")(found, priced, 0.0).item() == pytest.approx((0.8 + 0.3) / 4)
    assert ExpectedCompute()(found, ANY, 0.0).item() == pytest.approx(0.55)


def test_hinges_take_each_side_of_the_gates() -> None:
    found = passed(0.1, 0.45, 0.5, 0.8)
    assert Hinge()(found, ANY, 0.0).item() == pytest.approx(-(0.4 + 0.05))
    assert Held()(found, ANY, 0.0).item() == pytest.approx(0.3)
    assert Hinge("down")(found, ANY, 0.0).item() == pytest.approx(-0.3)
    assert Held("down")(found, ANY, 0.0).item() == pytest.approx(0.45)


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("norm", [2.0, 3.5, 50.0])
def test_the_power_loss_is_a_norm_per_image(direction: Direction, norm: float) -> None:
    p = np.random.default_rng(0).random((5, 7))
    found = Pass(torch.zeros(5, 2), torch.from_numpy(p).requires_grad_(), torch.zeros(5, 7))
    capped = np.minimum(p if direction == "up" else 1 - p, 0.5)
    loss = Power(direction, norm=norm, warm=0.1)
    np.testing.assert_allclose(loss(found, ANY, 0.1).detach(), np.linalg.norm(capped, norm, axis=1))
    np.testing.assert_allclose(loss(found, ANY, 0.05).detach(), capped.sum(1))


def test_the_power_loss_moves_gates_that_are_far_away() -> None:
    """In float32 (1e-13)^3.5 is 0, and a norm through it had no gradient."""
    p = torch.full((1, 3), 1e-13, requires_grad=True)
    (gradient,) = torch.autograd.grad(Power()(Pass(torch.zeros(1, 2), p, p), ANY, 0.5).sum(), p)
    torch.testing.assert_close(gradient, torch.full((1, 3), 3 ** (1 / 3.5 - 1)))


def test_the_anchor_is_the_squared_change_of_the_logits() -> None:
    anchored = problem_of(nn.Identity(), middle(1), clean=passed(0.5, logits=(1, 2)))
    found = passed(0.3, logits=(4, -2))
    assert Anchored(Hinge(), 0.1)(found, anchored, 0.0).item() == pytest.approx(-0.2 - 0.1 * (9 + 16))


@pytest.mark.parametrize("conflict", [True, False])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_the_projected_gradient_is_that_by_hand(conflict: bool, direction: Direction) -> None:
    """One gate on the wrong side, with weights v, and one on the right, with weights w; gradients are σ'(D) v, …."""
    generator = np.random.default_rng(2)
    v, w = generator.normal(size=(2, 6))
    if (v @ w < 0) != conflict:
        w = -w
    sign = 1 if direction == "up" else -1
    model = Linear(torch.from_numpy(np.stack([v, w])).float(), (-2 * sign, 2 * sign))
    x = torch.full((1, *SHAPE), 0.5)
    problem = problem_of(model, x)
    mode = Projected(StraightThrough(), Held(direction))
    found = mode(problem, Hinge(direction), x, problem.stream, 0.0)
    slope = 1 / (1 + np.exp(-2)) / (1 + np.exp(2))
    wrong, right = sign * slope * v, sign * slope * w
    unit = right / np.linalg.norm(right)
    expected = wrong - min(wrong @ unit, 0) * unit
    np.testing.assert_allclose(found.gradient.flatten(), expected, atol=1e-6)
    assert found.gradient.flatten().numpy() @ right >= -1e-7
    assert np.allclose(expected, wrong) is not conflict


def test_nothing_to_hold_leaves_the_gradient_as_it_is() -> None:
    x = middle(3)
    problem = problem_of(Linear(ray(1, 2), (-3, -3)), x)
    found = Projected(StraightThrough(), Held())(problem, Hinge(), x, problem.stream, 0.0)
    alone = StraightThrough()(problem, Hinge(), x, problem.stream, 0.0)
    assert torch.equal(found.gradient, alone.gradient)
    assert found.gradient.abs().min() > 0


@pytest.mark.parametrize("name", objectives("up"))
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("threat", [LINF, L2])
def test_gates_in_one_direction_are_driven_to_the_optimum_of_the_ball(
    name: str, direction: Direction, threat: Threat
) -> None:
    """The more w · x, the more are open: at most those open at w · x + eps ‖w‖ in the dual norm, and at least …."""
    model, x = Linear(ray(1, 2, 1.5, 0.5), (-0.15, -0.05, 0.1, 0.02)), middle(60)
    mode, objective = objectives(direction)[name]
    attacked = run(ComputeAttack(mode=mode, objective=objective, steps=40, step=0.25), model, x, threat=threat)
    w = ray(1)[0]
    unit = w.sign() if threat.norm == "linf" else w / w.norm()
    furthest = x + (1 if direction == "up" else -1) * threat.value * unit.view(SHAPE)
    before, best, found = (decisions(model, each)[0].sum(1) for each in (x, furthest, attacked.images))
    assert (best != before).float().mean() > 0.3
    assert torch.equal(found, best)


@pytest.mark.parametrize("costs", [(1.0, 10.0), (10.0, 1.0)])
def test_costs_decide_between_gates_that_exclude_each_other(costs: tuple[float, float]) -> None:
    model, x = Linear(ray(3, -3), (-0.2, -0.2)), torch.full((4, *SHAPE), 0.5)
    opened = decisions(model, run(ComputeAttack(), model, x, costs=torch.tensor(costs)).images)[0]
    assert opened.tolist() == [[costs[0] > costs[1], costs[0] < costs[1]]] * 4


@pytest.mark.parametrize("name", objectives("up"))
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("keep", [False, True])
def test_no_image_goes_against_the_direction_or_loses_its_class(name: str, direction: Direction, keep: bool) -> None:
    x = images(24)[0]
    model = undecided(x)
    costs = torch.tensor(profile_macs(model, (3, 12, 12)).blocks, dtype=torch.float64) * torch.tensor([1, 2, 5])
    mode, objective = objectives(direction)[name]
    attack = ComputeAttack(mode=mode, objective=objective, steps=6, step=0.3, keep_prediction=keep, anchor=0.01)
    found = run(attack, model, x, costs=costs).images
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
        run(ComputeAttack(steps=8, step=0.3, keep_prediction=keep), model, x, threat=wide) for keep in (False, True)
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
        attack = ComputeAttack(steps=8, step=0.3, keep_prediction=True, anchor=anchor)
        return int(decisions(model, run(attack, model, x, threat=wide).images)[0].sum())

    assert opened(0.01) > opened(0.0)


def test_it_finds_more_than_noise_of_the_same_size() -> None:
    x, y, ids = images(40)
    model = undecided(x)
    noise = run_attack(Corners(), model, Argmax(), x, y, LINF, stream=Stream.of(ids), seed=0).images
    up, down = (
        run(ComputeAttack(objective=objective), model, x).images
        for objective in (ExpectedCompute(), ExpectedCompute("down"))
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

    for objective, sign in ((ExpectedCompute(), 1), (ExpectedCompute("down"), -1)):
        attack = ComputeAttack(objective=objective, steps=8, step=0.3)
        gained = sign * (rate(run(attack, model, x, sampled, wide).images) - rate(x))
        assert gained.mean() > 0.1
        assert (gained > -0.35).all()  # five standard errors of a difference of two means


def test_random_gates_keep_the_class_in_every_draw_that_the_attack_saw() -> None:
    x = images(24)[0]
    model = undecided(x)
    kept = ComputeAttack(steps=6, step=0.3, keep_prediction=True)
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
    attack = ComputeAttack(objective=ExpectedCompute(direction), steps=2, restarts=2)
    assert torch.equal(run(attack, network(), x, policy).images, x)


def test_a_copy_is_not_believed() -> None:
    """Its gates open where the network's close, so nothing that it finds counts."""
    x = torch.full((4, *SHAPE), 0.5)
    model, copy = Linear(ray(3, 2), (0.1, 0.1)), Linear(ray(-3, -2), (-0.1, -0.1))
    with_copy = run(ComputeAttack(), model, x, copy=copy)
    assert torch.equal(with_copy.images, x)
    assert (decisions(copy, run(ComputeAttack(), copy, x).images)[0].sum(1) == 2).all()
    assert with_copy.forwards == 1 + 20 + 21


def test_restarts_only_add() -> None:
    """Each of two small steps from the image itself, then from random points."""
    x = images(24)[0]
    model = undecided(x)
    once, more = (run(ComputeAttack(steps=2, step=0.1, restarts=count), model, x) for count in (1, 4))
    fewest, most = (decisions(model, each.images)[0].sum(1) for each in (once, more))
    assert (most >= fewest).all()
    assert most.sum() > fewest.sum()
    assert (once.forwards, more.forwards) == (2 + 2 * 2, 2 + 4 * 2 * 2)


def test_the_first_start_is_the_image_itself() -> None:
    model, x = Linear(ray(1), (-1e-4,)), torch.full((4, *SHAPE), 0.5)
    changes = run(ComputeAttack(steps=1, step=0.25), model, x).images - x
    torch.testing.assert_close(changes, (0.25 * LINF.value * ray(1).sign()).view(1, *SHAPE).expand_as(x))


@dataclass(frozen=True)
class ThereAndBack(Mode):
    """Up a direction first and down it for the rest of the steps, whatever the objective."""

    def __call__(
        self, problem: Problem, objective: Objective, adv: Tensor, stream: Stream, progress: float
    ) -> Estimate:
        up = ray(1 if progress < 0.3 else -1).view(1, *SHAPE).expand_as(adv)
        return Estimate(up, adv[:, 0, 0, 0], adv[:, 0, 0, 0])


@pytest.mark.parametrize(("costs", "best"), [((1.0, 10.0), 1), ((10.0, 1.0), 0), (None, 0)])
def test_the_iterate_that_costs_most_is_kept(costs: tuple[float, float] | None, best: int) -> None:
    """One gate opens on the way there, the other on the way back; of equals the first is kept."""
    model, x = Linear(ray(3, -3), (-0.2, -0.2)), torch.full((2, *SHAPE), 0.5)
    priced = None if costs is None else torch.tensor(costs)
    found = run(ComputeAttack(mode=ThereAndBack(), steps=8, step=0.5), model, x, costs=priced).images
    assert decisions(model, found)[0].tolist() == [[best == 0, best == 1]] * 2


def test_an_images_attack_does_not_depend_on_its_chunk() -> None:
    model, x = Linear(ray(1, 2, 1.5), (-0.15, -0.05, 0.1)), middle(12)
    y, streams = torch.zeros(12, dtype=torch.int64), Stream.of(torch.arange(12), "attack")
    attack = ComputeAttack(steps=3, restarts=2)
    whole = run_attack(attack, model, Sampled(), x, y, LINF, stream=streams, seed=0).images
    parts = [
        run_attack(attack, model, Sampled(), x[part], y[part], LINF, stream=streams[part], seed=0).images
        for part in (slice(0, 5), slice(5, 12))
    ]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-6, rtol=0)
    assert not torch.equal(whole, x)


def test_recipes_build_what_they_say() -> None:
    content = {"summary": "s", "reference": "r", "attack": {"algorithm": "compute", "direction": "down", "steps": 3}}

    def built(changes: str) -> object:
        recipe = validate(AttackRecipe, change_attack(content, changes, "mine"), "mine")
        assert recipe.role == "compute"
        return build_attack(recipe.attack)

    assert built("step=0.5") == ComputeAttack(objective=ExpectedCompute("down"), steps=3, step=0.5)
    assert built("objective=ilfo,gates=open") == ComputeAttack(mode=AllOpen(), objective=Hinge("down"), steps=3)
    assert built("objective=gradmdm,objective.norm=2.0") == ComputeAttack(objective=Power("down", norm=2.0), steps=3)
    assert built("objective=gradauto,keep_prediction=true,anchor=0.5") == ComputeAttack(
        mode=Projected(StraightThrough(), Held("down")),
        objective=Hinge("down"),
        steps=3,
        keep_prediction=True,
        anchor=0.5,
    )
