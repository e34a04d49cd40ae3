"""What checks are made of: planted points, the linear control, random search, recorded ways, balls."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Apgd, Pgd, View, run_attack
from robustbench_aig.attacks.attack_problem import margin
from robustbench_aig.checks import ALL, QUICK, run_checks
from robustbench_aig.checks.binarization import Binarization, features_of, planted, separate
from robustbench_aig.checks.blackbox import RandomSearch
from robustbench_aig.checks.budget import Monotone, scaled, wide
from robustbench_aig.checks.controls import Linear
from robustbench_aig.checks.search import MoreSteps
from robustbench_aig.checks.trajectory import way_of
from robustbench_aig.checks.whole_passes import cosine, cross_entropy, differs, gradient, logits_of, margin_loss, zero
from robustbench_aig.evaluation import Network
from robustbench_aig.gating import Argmax
from robustbench_aig.models import fused
from robustbench_aig.norms import BALLS, Norm
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import ApgdRecipe, DeployedMode, GateMode, LeadedMode, OtherMode, PgdRecipe
from robustbench_aig.threat import Threat
from tests.checks.grounds import digits
from tests.checks.toys import Lottery, toy_case

Trained = Callable[[str], Network]


def test_a_planted_point_is_told_from_those_inside() -> None:
    generator = torch.Generator().manual_seed(0)
    inside, points = torch.randn(5, 40, 8, generator=generator), 2 * torch.randn(5, 8, generator=generator)
    weights, thresholds, works = separate(inside, points)
    assert works.any()
    own, others = (points * weights).sum(1), (inside @ weights[:, :, None])[:, :, 0]
    assert (own > thresholds)[works].all()
    assert (others.amax(1) < thresholds)[works].all()
    # Not far above its threshold, and not so far above the others that a softmax saturates.
    share = (own - thresholds) / (own - others.amax(1))
    torch.testing.assert_close(share, torch.full_like(share, 0.1), atol=1e-3, rtol=0)
    torch.testing.assert_close(own - others.mean(1), torch.full_like(own, 10.0), atol=1e-3, rtol=0)


def test_the_layer_is_a_regularised_discriminant() -> None:
    generator = torch.Generator().manual_seed(1)
    inside, points = (
        torch.randn(1, 30, 6, generator=generator).double(),
        torch.randn(1, 6, generator=generator).double(),
    )
    weights = separate(inside, points)[0][0].double()
    spread = inside[0] - inside[0].mean(0)
    ridge = 1e-3 * (spread @ spread.T / 30).diagonal().mean()
    direct = torch.linalg.solve(spread.T @ spread / 30 + ridge * torch.eye(6).double(), points[0] - inside[0].mean(0))
    torch.testing.assert_close(weights / weights.norm(), direct / direct.norm(), atol=1e-5, rtol=0)


def test_a_point_that_lies_among_the_others_is_not_planted() -> None:
    inside = torch.tensor([[[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]])
    assert not separate(inside, torch.tensor([[0.05, 0.0]]))[2].any()


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_planted_networks_answer_as_they_were_made_to(trained: Trained, policy: str) -> None:
    case = digits().case(trained("gated-0"), policy)
    images = case.sample(20)
    made = planted(case, images, 30)
    assert not isinstance(made, str)
    assert made.subject.policy == "argmax"
    assert len(made.images) >= 15
    assert (made.clean == 1).all()  # no image itself is the planted point
    order = torch.randperm(len(made.images), generator=torch.Generator().manual_seed(0))
    logits = logits_of(made.subject.model, made.images.pixels, Argmax())
    # Each image knows its own layer, in whatever company it comes.
    shuffled = logits_of(made.subject.model, made.images.pixels[order], Argmax())
    torch.testing.assert_close(shuffled, logits[order], atol=1e-4, rtol=1e-4)
    found = made.outcome(Apgd(ApgdRecipe(steps=30, keep="best")), made.images)
    assert found.lost.double().mean() > 0.8


def test_features_are_what_the_head_is_given(trained: Trained) -> None:
    model, x = trained("plain").model, toy_case(Lottery()).images.pixels[:4]
    head = model.head
    assert isinstance(head, nn.Linear)
    torch.testing.assert_close(head(features_of(model, x)), model(x))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_reach_of_a_linear_network(norm: Norm) -> None:
    generator = torch.Generator().manual_seed(0)
    model = Linear(torch.randn(5, 36, generator=generator))
    x = 0.4 + 0.2 * torch.rand(30, 1, 6, 6, generator=generator)
    y = model(x).argmax(1)
    reach = model.reach(x, y, BALLS[norm])
    for share, broken in ((0.999, False), (1.001, True)):
        wrong = torch.zeros(30, dtype=torch.bool)
        for target in range(5):  # the best step towards each class
            direction = (model.weights[target][None] - model.weights[y]).view_as(x)
            length = direction.flatten(1).norm(dim=1).clamp_min(1e-9).view(-1, 1, 1, 1)
            unit = direction.sign() if norm == "linf" else direction / length
            wrong |= model(x + share * reach.view(-1, 1, 1, 1) * unit).argmax(1) != y
        assert (wrong == broken).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_search_returns_its_best_point(norm: Norm) -> None:
    case = toy_case(Linear(torch.randn(3, 36, generator=torch.Generator().manual_seed(0))), count=12)
    images, threat = case.images, Threat.parse("0.1", norm)
    stream = Stream.of(images.ids, 0)
    results = [
        run_attack(
            RandomSearch(draws),
            case.subject.model,
            Argmax(),
            images.pixels,
            images.labels,
            threat,
            stream=stream,
            seed=0,
        )
        for draws in (1, 2, 20, 60)
    ]
    assert not any(result.failed.any() for result in results)
    assert [result.forwards for result in results] == [1, 2, 20, 60]
    margins = [margin(case.subject.model(result.images), images.labels) for result in results]
    assert all((after <= before).all() for before, after in pairwise(margins))
    assert (margins[-1] < margins[0]).double().mean() > 0.9


@pytest.mark.parametrize("gates", [DeployedMode(), LeadedMode(), OtherMode(mode="expected")])
@pytest.mark.parametrize("name", ["plain", "gated-0"])
def test_to_record_an_attack_changes_nothing(trained: Trained, name: str, gates: GateMode) -> None:
    case = digits().case(trained(name), "argmax" if name != "plain" else "none", Pgd(PgdRecipe(steps=6, gates=gates)))
    images = case.sample(70)
    way = way_of(case, Pgd(PgdRecipe(steps=6, gates=gates)), images)
    torch.testing.assert_close(way.returned, torch.cat([each.images for each in case.attacked(images, case.threat)]))
    assert way.values.shape == way.margins.shape == (6, 70)
    assert (way.margins.amin(0) <= way.margins[0]).all()
    assert case.threat.contains(way.best, images.pixels).all()


def test_the_best_iterate_is_the_one_with_the_lowest_margin(trained: Trained) -> None:
    case = digits().case(trained("plain"), "none", Pgd(PgdRecipe(steps=6)))
    images = case.sample(30)
    way = way_of(case, Pgd(PgdRecipe(steps=6)), images)
    with torch.no_grad():
        torch.testing.assert_close(margin(case.subject.model(way.best), images.labels), way.margins.amin(0))


def test_losses_and_their_gradients(trained: Trained) -> None:
    model, case = trained("plain").model, digits().case(trained("plain"), "none")
    x, y = case.images.pixels[:6], case.images.labels[:6]
    for loss in (cross_entropy, margin_loss):
        leaf = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(loss(model(leaf), y).sum(), leaf)
        torch.testing.assert_close(gradient(model, x, y, Argmax(), loss), expected)
        assert not any(parameter.grad is not None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_measures_of_gradients_and_logits() -> None:
    some = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    some[1], nan = 0, torch.full_like(some, torch.nan)
    assert zero(some).tolist() == [False, True, False]
    assert zero(nan).all()
    torch.testing.assert_close(cosine(some, 3 * some), torch.tensor([1.0, 0.0, 1.0]).double())
    assert (cosine(some, nan) == 0).all()
    logits = torch.tensor([[1.0, 2.0], [3.0, 4.0], [torch.nan, 1.0]])
    assert differs(logits, logits * 5, 1e-4).tolist() == [False, False, True]
    assert differs(logits, logits + torch.tensor([0.0, 0.01]), 1e-4).tolist() == [True, True, True]


def test_balls() -> None:
    threat = Threat.parse("8/255")
    assert scaled(threat, Fraction(1, 4)).key == Threat.parse("2/255").key
    assert scaled(threat, Fraction(100)).value == 1
    assert scaled(Threat.parse("0.5", "l2"), Fraction(4)).value == 2
    assert wide(toy_case(Lottery()), 0.5).value == 0.5
    l2 = wide(toy_case(Lottery(), threat=Threat.parse("0.1", "l2")), 0.5)
    assert (l2.norm, l2.value) == ("l2", 3.0)  # grey is within half of the square root of 36 pixels


def test_growing_balls_are_each_taken_once() -> None:
    case = toy_case(Lottery(), threat=Threat.parse("200/255"))
    assert [ball.value for ball in Monotone().balls(case)] == pytest.approx([50 / 255, 100 / 255, 200 / 255, 1])


def test_the_faster_copy_is_what_attacks_work_on(trained: Trained) -> None:
    network = trained("gated-0")
    fast = replace(network, copy=fused(network.model))
    case, plain = (digits().case(of, "argmax", Pgd(PgdRecipe(steps=5))) for of in (fast, network))
    calls = []
    assert case.subject.copy is not None
    case.subject.copy.register_forward_pre_hook(lambda *_: calls.append(1))
    assert torch.equal(
        case.outcome(case.attack, case.sample(40)).lost, plain.outcome(plain.attack, plain.sample(40)).lost
    )
    assert len(calls) == 5
    findings = [next(run_checks(of, [Binarization(32)])) for of in (case, plain)]
    assert findings[0].count == pytest.approx(findings[1].count, abs=2)


def test_in_l2_checks_work_as_well(trained: Trained) -> None:
    case = digits().case(trained("plain"), "none", Apgd(ApgdRecipe(steps=10, keep="best")))
    case = replace(case, threat=Threat.parse("0.7", "l2"), images=case.images.pick(slice(40)))
    cheap = [check for check in QUICK if check.name != "black-box"]
    for finding in run_checks(case, [*cheap, MoreSteps(), Monotone(), Binarization()]):
        assert finding.status in {"pass", "n/a"}, finding
    saturation = next(run_checks(case, [c for c in ALL if c.name == "step-saturation"]))
    assert saturation.evidence.startswith("a step in L2")


class Half(nn.Module):
    """Foreign code that bears float32 alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :3] @ torch.ones(3, 3)


def test_a_network_without_float64_is_spared_what_needs_it() -> None:
    case = toy_case(Half())
    assert case.exact is None
    statuses = {f.check: f.status for f in run_checks(case, [c for c in ALL if c.name == "finite-differences"])}
    assert statuses == {"finite-differences": "n/a"}


def test_a_view_is_counted_in_a_planted_network(trained: Trained) -> None:
    case = digits().case(trained("gated-0"), "argmax")
    made = planted(case, case.sample(10), 20)
    assert not isinstance(made, str)
    assert View(made.subject.model).gated
