"""The exact gradient against enumeration and differences."""

from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_aig.attacks import Pgd, View, run_attack
from robustbench_aig.attacks.attack_problem import Problem
from robustbench_aig.attacks.gradient_modes import build_mode
from robustbench_aig.attacks.objectives import CrossEntropy, Margin, ZeroOne
from robustbench_aig.gating import Sampled, at_once
from robustbench_aig.models import fused
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import PgdRecipe, ZeroOneObjective
from robustbench_aig.recipes.gradients import ExactMode
from tests.attacks.four_gates import EPS, expectations, paths_of
from tests.networks import gated, images, undecided


@pytest.mark.parametrize("depth", [8, 14])
def test_the_exact_gradient_is_that_of_the_sum_over_all_patterns(depth: int) -> None:
    """In float64, through the features and through the probabilities of the patterns."""
    x, y, ids = images(3, size=8)
    leaf = x.double().requires_grad_()
    problem = Problem(View(gated(depth).double(), Sampled()), leaf, y, EPS, Stream.of(ids, 0)).with_clean()
    for objective, value in expectations(problem, (depth - 2) // 2).items():
        (wanted,) = torch.autograd.grad(value.sum(), leaf, retain_graph=True)
        found = build_mode(ExactMode())(problem, objective, leaf, problem.stream, 0.0)
        torch.testing.assert_close(found.value, value.detach(), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.gradient, wanted, rtol=1e-7, atol=1e-10)


def test_the_exact_gradient_is_the_slope_between_two_points() -> None:
    x, y, ids = images(2, size=8)
    problem = Problem(View(gated(8).double(), Sampled()), x.double(), y, EPS, Stream.of(ids, 0))
    way = 2 * problem.stream.uniform(3, 8, 8).double() - 1
    for objective in (CrossEntropy(), Margin()):
        at = build_mode(ExactMode())(problem, objective, problem.x, problem.stream, 0.0)
        above, below = (
            build_mode(ExactMode())(problem, objective, problem.x + side * 1e-6 * way, problem.stream, 0.0).value
            for side in (1, -1)
        )
        slope = (above - below) / 2e-6
        torch.testing.assert_close((at.gradient * way).sum((1, 2, 3)), slope, rtol=1e-5, atol=1e-8)


def test_the_steeper_the_nearer_to_how_often_the_answer_is_right() -> None:
    """Up to images that no pattern of the gates has right, whose logarithm has no end."""
    x, y, ids = images(24, size=8)
    problem = Problem(View(gated(8).double(), Sampled()), x.double(), y, EPS, Stream.of(ids, 0))
    with torch.no_grad():
        right = sum(p * (one.logits.argmax(1) == y) for p, one in paths_of(problem, 3))
    assert isinstance(right, Tensor)
    some = right > 0
    assert some.any()
    found = build_mode(ExactMode())(problem, ZeroOne(ZeroOneObjective(steepness=1e6)), problem.x, problem.stream, 0.0)
    torch.testing.assert_close((-found.value).exp()[some], right[some], rtol=1e-6, atol=1e-9)
    assert ((-found.value).exp()[~some] < 1e-9).all()


def test_many_images_and_fused_copies_have_the_exact_gradient_of_each() -> None:
    """More images than go through at once, on the copy that attacks work on; passes are counted as what they take."""
    model = gated(14)
    x, y, ids = images(at_once(model, torch.device("cpu")) + 2, size=8)
    whole = Problem(View(fused(model), Sampled()), x, y, EPS, Stream.of(ids, 0))
    found = build_mode(ExactMode())(whole, CrossEntropy(), x, whole.stream, 0.0)
    assert whole.view.forwards == whole.view.backwards == pytest.approx(len(x) * 63 / 6, rel=1e-2)
    last = torch.tensor([len(x) - 1])
    alone = Problem(View(model.double(), Sampled()), x[last].double(), y[last], EPS, whole.stream[last])
    wanted = build_mode(ExactMode())(alone, CrossEntropy(), alone.x, alone.stream, 0.0)
    torch.testing.assert_close(found.gradient[last].double(), wanted.gradient, rtol=1e-3, atol=1e-6)


def test_an_exact_attack_keeps_what_is_likeliest_to_be_wrong() -> None:
    """Its margins and its last look are exact: nothing is drawn, and the better of restarts counts."""
    x, _, ids = images(6, size=8)
    model = undecided(8, x)
    with torch.no_grad():
        y = model(x).argmax(1)
    stream = Stream.of(ids, 0)

    def right(pixels: Tensor) -> Tensor:
        problem = Problem(View(model, Sampled()), pixels, y, EPS, stream)
        with torch.no_grad():
            paths = paths_of(problem, 3)
        total = sum(p * (one.logits.argmax(1) == y) for p, one in paths)
        assert isinstance(total, Tensor)
        return total

    def attacked(**settings: Any) -> Tensor:
        found = run_attack(
            Pgd(PgdRecipe(gates=ExactMode(), **settings)), model, Sampled(), x, y, EPS, stream=stream, seed=0
        )
        assert found.reason is None
        return right(found.images)

    once, several, best = attacked(steps=2), attacked(steps=2, restarts=3), attacked(steps=6, keep="best")
    assert (several <= once + 1e-6).all()
    assert (several < once - 1e-3).any()
    assert (best <= attacked(steps=6) + 1e-6).all()
    assert (best < right(x) - 0.05).any()
