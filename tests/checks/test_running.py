"""Carrying checks out: what crashes fails, what can't be asked isn't answered, and costs are bounds."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Apgd, View
from robustbench_aig.checks import QUICK, Case, Check, Cost, Finding, Limits, estimate, run_checks
from robustbench_aig.checks.blackbox import BlackBox
from robustbench_aig.checks.gate_randomness import Randomness
from robustbench_aig.checks.informative_ball import informative
from robustbench_aig.checks.search import SingleStep
from robustbench_aig.errors import InputError
from robustbench_aig.evaluation import Network
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import ApgdRecipe, DeployedMode
from robustbench_aig.threat import Threat
from tests.checks import planted
from tests.checks.grounds import digits
from tests.checks.toys import Lottery, toy_case

Trained = Callable[[str], Network]


@dataclass(frozen=True)
class Raises(Check):
    """Raises what it's given."""

    error: Exception = RuntimeError("the device is on fire")  # noqa: RUF009
    name = "raises"
    title = asks = advice = ""
    limits = Limits(0.0, 0.1)

    def __call__(self, case: Case) -> Finding:
        raise self.error


def test_what_crashes_is_a_fail_and_the_next_check_is_asked() -> None:
    case = toy_case(Lottery())
    first, second, third = run_checks(case, [Raises(), Raises(error=InputError("needs 3 classes")), Randomness()])
    assert (first.status, second.status, third.status) == ("fail", "n/a", "pass")
    assert "the device is on fire" in first.evidence
    assert second.evidence == "needs 3 classes"
    assert first.value is second.value is None


def test_an_attack_is_carried_out_once_for_all_checks() -> None:
    calls = []

    class Counted(Apgd):
        def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
            calls.append(len(x))
            return super().__call__(model, x, y, threat, stream)

    case = toy_case(Lottery(), attack=Counted(ApgdRecipe(steps=3)), count=20)
    list(run_checks(case, [SingleStep(), replace(SingleStep())]))
    assert len(calls) == 1
    list(run_checks(replace(case, seed=1), [SingleStep()]))
    assert len(calls) == 2


class Passes:
    """Counts the images that pass through a network, with a gradient and without."""

    def __init__(self, model: nn.Module) -> None:
        self.forwards = self.gradients = 0
        model.register_forward_pre_hook(self._note)

    def _note(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        if torch.is_grad_enabled() and inputs[0].requires_grad:
            self.gradients += len(inputs[0])
        else:
            self.forwards += len(inputs[0])


@pytest.mark.parametrize("check", [check for check in QUICK if check.name != "positive-control"], ids=lambda c: c.name)
def test_the_estimated_cost_is_a_bound(trained: Trained, check: Check) -> None:
    """But for the choice of images, which all checks share; a pass without a gradient may stand for one with."""
    attack = Apgd(ApgdRecipe(steps=4, keep="best", gates=DeployedMode(draws=2)))
    case = digits().case(
        trained("gated-0"), "sampled", attack, others=(trained("plain").subject("none"),), recorded=(1, 2)
    )
    small = replace(check, images=12)
    if isinstance(small, BlackBox):
        small = replace(small, queries=20, pairs=2)
    assert len(case.held) > 12
    assert case.exact is not None
    copies = {id(model): model for model in (case.subject.model, case.exact, case.others[0].model)}
    counts = [Passes(model) for model in copies.values()]
    list(run_checks(case, [small]))
    cost = estimate(case, [small])
    # Draws that are made at once, and a pass of the copy without a gradient, count for half of one with.
    spent = sum(count.forwards / 2 + count.gradients for count in counts)
    assert spent <= cost.forwards + cost.gradients + 24, (spent, cost)


def test_checks_share_what_they_cost() -> None:
    case = toy_case(Lottery())
    once, twice = (estimate(case, [SingleStep()] * times) for times in (1, 2))
    assert once == twice
    assert Cost(2, 3).plus(Cost(1, 1)) == (3, 4)
    assert Cost(10, 100).seconds(forward=0.5, gradient=0.25) == 30


def test_the_informative_ball_leaves_about_half(trained: Trained) -> None:
    case = digits().case(trained("plain"), "none", Apgd(ApgdRecipe(steps=10, keep="best")))
    threat = informative(replace(case, threat=Threat.parse("1/255")))
    lost = case.outcome(case.attack, case.sample(48), threat).lost.double().mean()
    assert 0.2 < lost < 0.8
    l2 = informative(replace(case, threat=Threat.parse("0.01", "l2")))
    assert l2.norm == "l2"
    assert 0.2 < case.outcome(case.attack, case.sample(48), l2).lost.double().mean() < 0.8


def test_a_network_that_cannot_be_attacked_keeps_its_ball(trained: Trained) -> None:
    case = digits().case(trained("plain"), "none")
    broken = replace(case, subject=replace(case.subject, model=planted.IgnoresGradient(case.subject.model)))
    assert informative(broken) == case.threat
