"""How far gates can be moved: against closed forms on networks of one gate, and a record of all iterates."""

import math
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Pgd, View, run_attack
from robustbench_aig.attacks.attack_problem import Pass, Problem
from robustbench_aig.attacks.objectives import GateFlip
from robustbench_aig.gating import Argmax, Gate, Policy, Sampled, gating
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import DeployedMode, GateFlipObjective, PgdRecipe
from robustbench_aig.recipes.gradients import ExactMode
from robustbench_aig.threat import Threat
from tests.attacks.test_search import attacked, lively, own_labels
from tests.networks import gated

EPS = 8 / 255
THREAT = Threat.parse("8/255")
ATTACK = Pgd(PgdRecipe(steps=40, step=0.1, keep="best", objective=GateFlipObjective()))


class Linear(Gate):
    """Logit slope · (mean of the pixels - 1/2) + bias, and `feedback` more where the features are not the image."""

    def __init__(self, slope: float, bias: float, feedback: float = 0.0) -> None:
        super().__init__()
        self.slope, self.bias, self.feedback = slope, bias, feedback

    def logits(self, x: Tensor) -> Tensor:
        image, extra = x[:, 0].mean((1, 2)), x[:, 1].mean((1, 2))
        difference = self.slope * (image - 0.5) + self.bias + self.feedback * extra
        return torch.stack([torch.zeros_like(difference), difference], 1)


class Chain(nn.Module):
    """Gates one behind the other, on the image and a count of the blocks that ran."""

    def __init__(self, *own: Linear) -> None:
        super().__init__()
        self.own = nn.ModuleList(own)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([x, torch.zeros_like(x)], 1)
        ran = torch.tensor([0.0, 1.0])[:, None, None]
        for gate in self.own:
            both = gate(both, both, lambda now: torch.zeros_like(now) + ran)
        return both.mean((2, 3))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def shift_of(model: nn.Module, policy: Policy, x: Tensor, adv: Tensor) -> Tensor:
    with torch.no_grad(), gating(model, policy) as trace:
        model(x)
        before = trace.probabilities
        model(adv)
        return (trace.probabilities - before).abs().mean(1)


@pytest.mark.parametrize("policy", [Argmax(), Sampled()])
@pytest.mark.parametrize(
    ("slope", "bias", "grey"),
    [
        (100.0, 0.0, 0.5),  # half open: both ways alike
        (100.0, 1.5, 0.5),  # over by 1, where the hinge stopped, is half of the way
        (100.0, -1.5, 0.5),
        (-100.0, 3.0, 0.5),
        (2000.0, 40.0, 0.5),  # p is 1 in float32, and its slope 0
        (2000.0, -40.0, 0.5),
        (-100.0, -49.0, 0.0),  # open by 1, black: pixels rise alone, and with them it closes
        (100.0, 51.0, 0.0),  # the same, and it opens further alone: over to the other side is out of reach
        (-100.0, -51.0, 0.0),  # closed by 1, and it closes further alone
    ],
)
def test_one_gate_goes_as_far_as_it_can(policy: Policy, slope: float, bias: float, grey: float) -> None:
    model, x = Chain(Linear(slope, bias)), torch.full((2, 1, 3, 3), grey)
    found = run_attack(
        ATTACK,
        model,
        policy,
        x,
        torch.zeros(2, dtype=torch.int64),
        THREAT,
        stream=Stream.of(torch.arange(2), 0),
        seed=0,
    )
    assert found.reason is None
    reach = [max(grey - EPS, 0.0), min(grey + EPS, 1.0)]
    clean, *ends = (sigmoid(slope * (point - 0.5) + bias) for point in (grey, *reach))
    most = max(abs(end - clean) for end in ends)
    assert most > 0.05
    torch.testing.assert_close(shift_of(model, policy, x, found.images), torch.full((2,), most), atol=1e-3, rtol=0)


def test_the_clean_probability_is_that_over_paths() -> None:
    """The second gate follows the first one's draw: p = p1 · sigmoid(b + f) + (1 - p1) · sigmoid(b)."""
    model, x = Chain(Linear(0.0, 0.5), Linear(0.0, -2.0, 3.0)).eval(), torch.full((2000, 1, 2, 2), 0.5)
    problem = Problem(View(model, Sampled()), x, torch.zeros(2000), THREAT, Stream.of(torch.arange(2000), 0))
    one, several = problem.with_clean().clean, problem.with_clean(10).clean
    assert one is not None
    assert several is not None
    first = sigmoid(0.5)
    for clean in (one, several):
        found = clean.probabilities.mean(0).tolist()
        assert found == pytest.approx([first, first * sigmoid(1.0) + (1 - first) * sigmoid(-2.0)], abs=0.03)
    spread = [clean.probabilities[:, 1].var().item() for clean in (one, several)]
    assert spread[1] == pytest.approx(spread[0] / 10, rel=0.2)
    assert torch.equal(one.decisions, several.decisions)


@pytest.mark.parametrize("keep", ["best", "first"])
def test_the_iterate_that_moves_gates_most_is_kept(keep: Literal["best", "first"]) -> None:
    """Of steps too long to end well; `first`, which asks for a lost image, is no other."""
    model, seen = lively(gated), list[Tensor]()
    x = own_labels(model, 32)[0]
    attack = Pgd(PgdRecipe(steps=8, step=1.5, objective=GateFlipObjective()))
    found = attacked(replace(attack.changed(keep=keep), watch=lambda adv, _: seen.append(adv)), model).images
    last = attacked(attack, model).images
    every = torch.stack([shift_of(model, Argmax(), x, adv) for adv in [*seen, last]])
    assert len(every) == 9
    torch.testing.assert_close(shift_of(model, Argmax(), x, found), every.amax(0))
    assert (every.amax(0) > every[-1] + 1e-3).float().mean() > 0.1, "the last is often another one"


def test_random_gates_are_kept_where_they_have_moved_most() -> None:
    """By the marginal probabilities over fresh draws."""
    model, count = lively(gated), 12
    x = own_labels(model, count)[0]

    def marginal(images: Tensor) -> Tensor:
        stream = Stream.of(torch.arange(count), 5)
        with torch.no_grad(), gating(model, Sampled(stream), execution="sparse", draws=60) as trace:
            model(images)
            return trace.probabilities.mean(0)

    attack = Pgd(PgdRecipe(steps=5, step=1.5, gates=DeployedMode(draws=5), objective=GateFlipObjective()))
    shifts = [
        (marginal(attacked(one, model, Sampled(), count).images) - marginal(x)).abs().mean().item()
        for one in (attack.changed(keep="best"), attack)
    ]
    assert shifts[0] > shifts[1]


def test_a_safety_is_the_hinge_of_earlier_recipes() -> None:
    """-Σ max(0, safety + s · D), by hand."""
    p, q = torch.tensor([[0.9, 0.2, 0.5]]), torch.tensor([[0.3, 0.4, 0.999]])
    none = torch.zeros(1, 2)
    problem = Problem(
        View(nn.Identity()), none, torch.zeros(1), THREAT, Stream.of(torch.arange(1), 0), clean=Pass(none, p, p)
    )
    logit = [math.log(value / (1 - value)) for value in q[0].tolist()]
    by_hand = -(max(0.0, 1 + logit[0]) + max(0.0, 1 - logit[1]) + max(0.0, 1 - logit[2]))
    hinge = GateFlip(GateFlipObjective(safety=1.0))
    assert hinge(Pass(none, q, q), problem, 0.0).item() == pytest.approx(by_hand, rel=1e-5)


def test_every_pattern_gone_through_moves_random_gates_too() -> None:
    """With the exact gradient of the mean probabilities, two gates deep."""
    model, x = Chain(Linear(40.0, 1.5), Linear(40.0, 0.5, 2.0)).eval(), torch.full((3, 1, 2, 2), 0.5)
    attack = ATTACK.changed(steps=15, step=0.2, gates=ExactMode())
    labels = torch.zeros(3, dtype=torch.int64)
    found = run_attack(attack, model, Sampled(), x, labels, THREAT, stream=Stream.of(torch.arange(3), 0), seed=0)
    assert found.reason is None

    def mean(point: float) -> list[float]:
        first = sigmoid(40 * (point - 0.5) + 1.5)
        low, high = (sigmoid(40 * (point - 0.5) + 0.5 + extra) for extra in (0.0, 2.0))
        return [first, first * high + (1 - first) * low]

    reached = found.images.mean((1, 2, 3)).tolist()
    ways = {end: sum(abs(a - b) for a, b in zip(mean(end), mean(0.5), strict=True)) for end in (0.5 - EPS, 0.5 + EPS)}
    assert reached == pytest.approx([max(ways, key=lambda end: ways[end])] * 3, abs=1e-4)
