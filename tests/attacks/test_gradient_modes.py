"""Gradient modes against exact gradients: by enumeration, in closed form, by differences."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Pgd, View, run_attack
from robustbench_aig.attacks.attack_problem import Pass, Problem
from robustbench_aig.attacks.gradient_modes import (
    Mode,
    build_mode,
)
from robustbench_aig.attacks.gradient_modes.attacker_policies import Jittered, SmoothBackward, Steep
from robustbench_aig.attacks.objectives import CrossEntropy, Margin
from robustbench_aig.gating import Argmax, Expected, Frozen, Open, Policy, Sampled, gating
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import (
    BpdaMode,
    DeployedMode,
    EvolutionMode,
    GateMode,
    LeadedMode,
    OtherMode,
    PgdRecipe,
    ScoreFunctionMode,
    SmoothedMode,
)
from robustbench_aig.recipes.gradients import ExactMode
from robustbench_aig.threat import Threat
from tests.attacks.four_gates import EPS, PIXELS, Direction, FourGates, exact_gradient, features, problem_of
from tests.networks import gated, images, plain


def sample_of(mode: Mode, problem: Problem, times: int) -> tuple[Tensor, Tensor]:
    """Mean and standard error of independent estimates at a single input: copies of it, each with its own noise."""
    x, y = problem.x.expand(times, -1, -1, -1), problem.y.expand(times)
    many = replace(problem, x=x, y=y, stream=Stream.of(torch.arange(times), "copies"))
    found = mode(many, CrossEntropy(), x, many.stream, 0.0).gradient
    return found.mean(0), found.std(0) / math.sqrt(times)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_score_function_is_unbiased_and_straight_through_is_not(seed: int) -> None:
    problem = problem_of(FourGates(), Sampled(), seed=seed)
    exact = exact_gradient(problem, CrossEntropy())[0]
    mean, error = sample_of(build_mode(ScoreFunctionMode(draws=20)), problem, 400)
    assert ((mean - exact).abs() < 4.5 * error).all()
    assert (error < 0.2 * exact.abs().max()).all()
    biased, error = sample_of(build_mode(DeployedMode()), problem, 8000)
    assert ((biased - exact).abs() > 6 * error).any()


def test_the_baseline_leaves_a_draw_out() -> None:
    """With itself in its baseline the estimate would be too small by (K - 1) / K; at K = 2 that is half."""
    problem = problem_of(FourGates(), Sampled(), seed=1)
    exact = exact_gradient(problem, CrossEntropy())[0]
    mean, error = sample_of(build_mode(ScoreFunctionMode(draws=2)), problem, 8000)
    assert ((mean - exact).abs() < 4.5 * error).all()


def test_draws_of_the_cross_entropy_mix_probabilities() -> None:
    """The gradient of -log mean p, by autograd over all draws at once."""
    problem = problem_of(FourGates(), Sampled())
    found = build_mode(DeployedMode(draws=7))(problem, CrossEntropy(), problem.x, problem.stream, 0.0)
    leaf = problem.x.clone().requires_grad_()
    chances = [
        problem.look(leaf, Sampled(problem.stream.child(draw))).logits.softmax(1)[0, problem.y[0]] for draw in range(7)
    ]
    loss = -torch.stack(chances).mean().log()
    (wanted,) = torch.autograd.grad(loss, leaf)
    torch.testing.assert_close(found.gradient, wanted)
    torch.testing.assert_close(found.value[0], loss.detach())


def test_draws_of_other_objectives_are_averaged() -> None:
    problem = problem_of(FourGates(), Sampled())
    found = build_mode(DeployedMode(draws=3))(problem, Margin(), problem.x, problem.stream, 0.0)
    single = [build_mode(DeployedMode())(problem, Margin(), problem.x, problem.stream, 0.0)]
    for draw in (1, 2):
        leaf = problem.x.clone().requires_grad_()
        value = Margin()(problem.look(leaf, Sampled(problem.stream.child(draw))), problem, 0.0)
        single.append(type(found)(torch.autograd.grad(value.sum(), leaf)[0], value.detach(), -value.detach()))
    torch.testing.assert_close(found.gradient, sum(each.gradient for each in single) / 3)
    torch.testing.assert_close(found.margin, -found.value)


def test_soft_gates_are_exact_where_one_gate_decides_alone() -> None:
    """For one gate and an objective linear in its decision the mean field is the expectation."""

    weight = torch.linspace(-2, 3, PIXELS, dtype=torch.float64)

    class OneGate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = Direction(weight)

        def forward(self, x: Tensor) -> Tensor:
            h = features(x.flatten(1))
            out: Tensor = self.gate(h, h[:, :3], lambda part: part[:, 3:] ** 2)
            return out.flatten(1)

    problem = problem_of(OneGate(), Sampled(), count=3)
    found = build_mode(OtherMode(mode="expected"))(problem, Margin(), problem.x, problem.stream, 0.0)
    leaf = problem.x.clone().requires_grad_()
    flat = leaf.flatten(1)
    p = (flat @ weight).sigmoid()
    expected = flat[:, :3] + p[:, None] * flat[:, 3:] ** 2
    (wanted,) = torch.autograd.grad(Margin()(problem_pass(expected), problem, 0.0).sum(), leaf)
    torch.testing.assert_close(found.gradient, wanted)


def problem_pass(logits: Tensor) -> Pass:
    """Of a network without gates."""
    return Pass(logits, logits[:, :0], logits[:, :0])


LOGITS = torch.tensor([[0.3, -0.9], [0.0, 0.2], [1.0, 4.0], [2.0, -3.0]], dtype=torch.float64)
DIFFERENCE = LOGITS[:, 1] - LOGITS[:, 0]


def decided(policy: Policy) -> tuple[Tensor, Tensor]:
    """Decisions, and their derivatives by the difference of the logits."""
    leaf = LOGITS.clone().requires_grad_()
    z = policy.decide(leaf, 0, 0)
    (gradient,) = torch.autograd.grad(z.sum(), leaf)
    torch.testing.assert_close(gradient[:, 0], -gradient[:, 1])
    return z.detach(), gradient[:, 1]


def slope(score: Tensor, steepness: float) -> Tensor:
    soft = (steepness * score).sigmoid()
    return steepness * soft * (1 - soft)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_bpda_decides_hard_and_differentiates_without_the_noise(temperature: float) -> None:
    stream = Stream.of(torch.arange(4), "noise")
    for inner in (Argmax(), Sampled(stream)):
        z, derivative = decided(SmoothBackward(inner, temperature))
        assert torch.equal(z, inner.decide(LOGITS, 0, 0))
        torch.testing.assert_close(derivative, slope(DIFFERENCE, 1 / temperature))


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_the_leaded_gradient_is_that_of_a_steep_sigmoid(hard: bool, noisy: bool) -> None:
    stream = Stream.of(torch.arange(4), "noise")
    score = DIFFERENCE + stream.child(0).child(0).logistic() if noisy else DIFFERENCE
    z, derivative = decided(Steep(3.0, hard=hard, stream=stream if noisy else None))
    torch.testing.assert_close(z, (score > 0).double() if hard else (3 * score).sigmoid())
    torch.testing.assert_close(derivative, slope(score, 3.0))


def test_jitter_flips_a_gate_as_often_as_the_normal_distribution_says() -> None:
    many = 20000
    logits = torch.tensor([[0.0, 0.7]], dtype=torch.float64).expand(many, 2)
    z = Jittered(Argmax(), 2.0, Stream.of(torch.arange(many), 0)).decide(logits, 0, 0)
    expected = 0.5 * math.erfc(-0.7 / 2.0 / math.sqrt(2))
    assert abs(z.mean().item() - expected) < 4 * math.sqrt(0.25 / many)


def held(mode: Mode, policy: Policy, count: int = 8) -> tuple[Problem, Tensor]:
    """A problem and the mode's gradient on a small gated network."""
    x, y, ids = images(count)
    problem = Problem(View(gated(), policy), x, y, EPS, Stream.of(ids, 0)).with_clean()
    return problem, mode(problem, CrossEntropy(), x + 0.02, problem.stream.child(5), 0.0).gradient


def reference(problem: Problem, policy: Policy) -> Tensor:
    leaf = (problem.x + 0.02).requires_grad_()
    with gating(problem.view.model, policy):
        loss = nn.functional.cross_entropy(problem.view.model(leaf), problem.y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient


@pytest.mark.parametrize("policy", [Argmax(), Sampled()])
def test_held_gates_pass_the_gradient_of_the_network_they_leave(policy: Policy) -> None:
    """Constant decisions: sparse execution, checked against dense execution with the same decisions given."""
    problem, found = held(build_mode(OtherMode(mode="frozen")), policy)
    assert problem.clean is not None
    torch.testing.assert_close(found, reference(problem, Frozen(problem.clean.decisions)), rtol=1e-4, atol=1e-5)
    problem, found = held(build_mode(DeployedMode(mode="detached")), policy)
    with torch.no_grad():
        now = problem.look(problem.x + 0.02, policy.drawn(problem.stream.child(5).child(0))).decisions
    torch.testing.assert_close(found, reference(problem, Frozen(now)), rtol=1e-4, atol=1e-5)
    problem, found = held(build_mode(OtherMode(mode="open")), policy)
    torch.testing.assert_close(found, reference(problem, Open()), rtol=1e-4, atol=1e-5)
    problem, found = held(build_mode(OtherMode(mode="expected")), policy)
    torch.testing.assert_close(found, reference(problem, Expected()), rtol=1e-4, atol=1e-5)


def test_frozen_noise_is_the_same_at_every_step_and_fresh_noise_is_not() -> None:
    x, y, ids = images(16)
    problem = Problem(View(gated(), Sampled()), x, y, EPS, Stream.of(ids, 0))

    def gradients(mode: Mode) -> list[Tensor]:
        return [mode(problem, CrossEntropy(), x, problem.stream.child(k), 0.0).gradient for k in (3, 4)]

    first, second = gradients(build_mode(DeployedMode(mode="frozen-noise")))
    assert torch.equal(first, second)
    first, second = gradients(build_mode(DeployedMode()))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_evolution_finds_the_gradient_of_a_linear_objective(norm: str) -> None:
    class Linear(nn.Module):
        weight = torch.linspace(-1, 1, PIXELS, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            score = x.flatten(1) @ self.weight
            return torch.stack([score, torch.zeros_like(score)], 1)

    x = torch.full((1, 1, 2, 3), 0.5, dtype=torch.float64)
    problem = Problem(View(Linear()), x, torch.tensor([1]), Threat.parse("0.1", norm), Stream.of(torch.arange(1)))
    found = build_mode(EvolutionMode(draws=2000))(problem, Margin(), x, problem.stream, 0.0).gradient.flatten()
    # The estimate of a linear objective is mean (u·w) u, whose error per component is about |w| / sqrt(draws).
    error = Linear.weight.norm() / math.sqrt(2000)
    assert (found - Linear.weight).abs().max() < 4.5 * error
    assert torch.nn.functional.cosine_similarity(found, Linear.weight, dim=0) > 0.99


@pytest.mark.parametrize(
    ("mode", "deterministic", "random"),
    [
        (build_mode(DeployedMode()), True, False),
        (build_mode(DeployedMode(draws=10)), True, True),
        (build_mode(DeployedMode(mode="detached", draws=10)), True, True),
        (build_mode(BpdaMode()), True, False),
        (build_mode(DeployedMode(mode="frozen-noise", draws=10)), True, False),
        (build_mode(OtherMode(mode="frozen")), False, False),
        (build_mode(OtherMode(mode="open")), False, False),
        (build_mode(OtherMode(mode="expected")), False, False),
        (build_mode(LeadedMode()), False, False),
        (build_mode(LeadedMode(hard=True)), True, False),
        (build_mode(SmoothedMode()), False, False),
        (build_mode(ScoreFunctionMode()), False, True),
        (build_mode(ExactMode()), False, True),
        (build_mode(EvolutionMode()), False, False),
    ],
)
def test_only_the_deployed_network_judges(mode: Mode, deterministic: bool, random: bool) -> None:
    """Where a mode says that its margins are the deployed ones, they must be."""
    assert (mode.judges(Argmax()), mode.judges(Sampled())) == (deterministic, random)
    if deterministic:
        x, y, ids = images(8)
        problem = Problem(View(gated(), Argmax()), x, y, EPS, Stream.of(ids, 0)).with_clean()
        found = mode(problem, CrossEntropy(), x, problem.stream, 0.0).margin
        logits = problem.view.model(x)
        others = logits.scatter(1, y[:, None], -torch.inf).amax(1)
        torch.testing.assert_close(found, logits.gather(1, y[:, None])[:, 0] - others, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "mode",
    [
        DeployedMode(draws=3),
        ScoreFunctionMode(draws=3),
        BpdaMode(),
        OtherMode(mode="open"),
        OtherMode(mode="frozen"),
        ExactMode(),
    ],
)
def test_without_gates_every_mode_is_the_plain_gradient(mode: GateMode) -> None:
    x, y, ids = images(4)
    stream = Stream.of(ids, 0)
    stock = run_attack(Pgd(PgdRecipe(steps=3)), plain(), Argmax(), x, y, EPS, stream=stream, seed=0)
    found = run_attack(Pgd(PgdRecipe(steps=3, gates=mode)), plain(), Argmax(), x, y, EPS, stream=stream, seed=0)
    assert found.reason is None
    assert (found.images - stock.images).abs().max() < 1e-6
