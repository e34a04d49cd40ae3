"""What attacks on the compute climb: against closed forms and by hand; and what recipes make of it."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.attacks import View, build_attack
from robustbench_aig.attacks.attack_problem import Pass, Problem
from robustbench_aig.attacks.compute_attacks import ComputeAttack
from robustbench_aig.attacks.compute_objectives import (
    Anchored,
    ExpectedCompute,
    Held,
    Hinge,
    Power,
    Projected,
)
from robustbench_aig.attacks.gradient_modes import Mode, build_mode
from robustbench_aig.attacks.objectives import Objective
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import AttackRecipe, DeployedMode, OtherMode, change_attack, validate
from robustbench_aig.recipes.compute_recipes import ComputeRecipe, Direction, PowerObjective
from tests.attacks.steered import LINF, SHAPE, Linear, middle, ray


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
    assert ExpectedCompute("up")(found, priced, 0.0).item() == pytest.approx((0.2 + 2.7) / 4)
    assert ExpectedCompute("down")(found, priced, 0.0).item() == pytest.approx((0.8 + 0.3) / 4)
    assert ExpectedCompute("up")(found, ANY, 0.0).item() == pytest.approx(0.55)


def test_hinges_take_each_side_of_the_gates() -> None:
    found = passed(0.1, 0.45, 0.5, 0.8)
    assert Hinge("up")(found, ANY, 0.0).item() == pytest.approx(-(0.4 + 0.05))
    assert Held("up")(found, ANY, 0.0).item() == pytest.approx(0.3)
    assert Hinge("down")(found, ANY, 0.0).item() == pytest.approx(-0.3)
    assert Held("down")(found, ANY, 0.0).item() == pytest.approx(0.45)


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("norm", [2.0, 3.5, 50.0])
def test_the_power_loss_is_a_norm_per_image(direction: Direction, norm: float) -> None:
    p = np.random.default_rng(0).random((5, 7))
    found = Pass(torch.zeros(5, 2), torch.from_numpy(p).requires_grad_(), torch.zeros(5, 7))
    capped = np.minimum(p if direction == "up" else 1 - p, 0.5)
    loss = Power(direction, PowerObjective(norm=norm, warm=0.1))
    np.testing.assert_allclose(loss(found, ANY, 0.1).detach(), np.linalg.norm(capped, norm, axis=1))
    np.testing.assert_allclose(loss(found, ANY, 0.05).detach(), capped.sum(1))


def test_the_power_loss_moves_gates_that_are_far_away() -> None:
    """In float32 (1e-13)^3.5 is 0, and a norm through it had no gradient."""
    p = torch.full((1, 3), 1e-13, requires_grad=True)
    (gradient,) = torch.autograd.grad(Power("up", PowerObjective())(Pass(torch.zeros(1, 2), p, p), ANY, 0.5).sum(), p)
    torch.testing.assert_close(gradient, torch.full((1, 3), 3 ** (1 / 3.5 - 1)))


def test_the_anchor_is_the_squared_change_of_the_logits() -> None:
    anchored = problem_of(nn.Identity(), middle(1), clean=passed(0.5, logits=(1, 2)))
    found = passed(0.3, logits=(4, -2))
    assert Anchored(Hinge("up"), 0.1)(found, anchored, 0.0).item() == pytest.approx(-0.2 - 0.1 * (9 + 16))


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
    mode = Projected(build_mode(DeployedMode()), Held(direction))
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
    found = Projected(build_mode(DeployedMode()), Held("up"))(problem, Hinge("up"), x, problem.stream, 0.0)
    alone = build_mode(DeployedMode())(problem, Hinge("up"), x, problem.stream, 0.0)
    assert torch.equal(found.gradient, alone.gradient)
    assert found.gradient.abs().min() > 0


def test_recipes_build_what_they_say() -> None:
    content = {"summary": "s", "reference": "r", "attack": {"algorithm": "compute", "direction": "down", "steps": 3}}

    def built(changes: str) -> object:
        recipe = validate(AttackRecipe, change_attack(content, changes, "mine"), "mine")
        assert recipe.role == "compute"
        return build_attack(recipe.attack)

    def parts(changes: str) -> tuple[Mode, Objective]:
        attack = built(changes)
        assert isinstance(attack, ComputeAttack)
        return attack.mode, attack.objective

    assert built("step=0.5") == ComputeAttack(ComputeRecipe(direction="down", steps=3, step=0.5))
    stock = build_mode(DeployedMode())
    assert parts("step=0.5") == (stock, ExpectedCompute("down"))
    assert parts("objective=ilfo,gates=open") == (build_mode(OtherMode(mode="open")), Hinge("down"))
    power = Power("down", PowerObjective(name="gradmdm", norm=2.0))
    assert parts("objective=gradmdm,objective.norm=2.0") == (stock, power)
    assert parts("objective=gradauto,keep_prediction=true,anchor=0.5") == (
        Projected(stock, Held("down")),
        Anchored(Hinge("down"), 0.5),
    )
