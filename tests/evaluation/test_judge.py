"""The judge against passes made by hand."""

import dataclasses
import importlib
import itertools

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.errors import InputError
from robustbench_aig.evaluation import Subject, judge
from robustbench_aig.gating import Argmax, Frozen, Sampled, gating
from robustbench_aig.models import profile_macs
from robustbench_aig.models.macs import MacProfile
from robustbench_aig.randomness import Stream
from robustbench_aig.records import EXACT
from tests.networks import gated, images, undecided

SHAPE = (3, 12, 12)


def subject(policy: str) -> Subject:
    model = gated()
    return Subject("gated", model, profile_macs(model, SHAPE), policy)


def test_deterministic_policy_is_judged_in_one_pass() -> None:
    who = subject("argmax")
    x, y, ids = images(20)
    verdict = judge(who, x, y, ids=ids, seed=0, draws=7)
    with torch.no_grad(), gating(who.model, Argmax()) as trace:
        logits = who.model(x)
    assert verdict.draws == 1
    assert torch.equal(verdict.predictions, logits.argmax(1))
    assert torch.equal(verdict.correct, (logits.argmax(1) == y).long())
    assert torch.equal(verdict.choice_correct, verdict.correct)
    assert torch.equal(verdict.decisions, trace.decisions.bool())
    others = logits.clone()
    others[torch.arange(20), y] = -torch.inf
    torch.testing.assert_close(verdict.margins, logits[torch.arange(20), y] - others.amax(1), atol=1e-5, rtol=1e-5)
    costs = torch.tensor(who.profile.blocks).double()
    torch.testing.assert_close(verdict.macs, who.profile.fixed + trace.decisions.double() @ costs)


def test_random_policy_counts_over_fresh_draws_and_chooses_on_others() -> None:
    who = subject("sampled")
    x, y, ids = images(20)
    verdict = judge(who, x, y, ids=ids, seed=4, draws=5)
    with torch.no_grad(), gating(who.model, Sampled(Stream.of(ids, 4, "judge"))) as trace:
        passes = []
        for number in range(10):
            passes.append(who.model(x).argmax(1))
            if number == 0:
                first = trace.decisions.bool()
    votes = torch.stack(passes)
    assert torch.equal(verdict.correct, (votes[:5] == y).sum(0))
    assert torch.equal(verdict.choice_correct, (votes[5:] == y).sum(0))
    assert torch.equal(verdict.decisions, first)
    assert torch.equal(verdict.predictions, torch.tensor([torch.bincount(v).argmax() for v in votes[:5].T]))
    assert (verdict.correct != verdict.choice_correct).any()


@pytest.mark.parametrize("apart", [False, True])
def test_open_probabilities_are_means_over_each_set_of_draws(apart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each along its own path; the draws made at once, and one after the other."""
    if apart:
        module = importlib.import_module("robustbench_aig.evaluation.judge")
        monkeypatch.setattr(module, "shares_draws", lambda _: False)
    who = subject("sampled")
    x, y, ids = images(20)
    verdict = judge(who, x, y, ids=ids, seed=4, draws=5)
    with torch.no_grad(), gating(who.model, Sampled(Stream.of(ids, 4, "judge"))) as trace:
        along = []
        for _ in range(10):
            who.model(x)
            along.append(trace.probabilities.clone())
    passes = torch.stack(along)
    torch.testing.assert_close(verdict.probabilities, passes[0])
    torch.testing.assert_close(verdict.mean_probabilities, passes[:5].mean(0))
    torch.testing.assert_close(verdict.choice_probabilities, passes[5:].mean(0))
    assert not torch.equal(verdict.mean_probabilities[:, -1], verdict.choice_probabilities[:, -1])
    assert torch.allclose(verdict.mean_probabilities[:, 0], verdict.probabilities[:, 0])


def test_without_randomness_the_only_draw_is_the_mean() -> None:
    x, y, ids = images(20)
    verdict = judge(subject("argmax"), x, y, ids=ids, seed=0, draws=7)
    assert torch.equal(verdict.mean_probabilities, verdict.probabilities)
    assert torch.equal(verdict.choice_probabilities, verdict.probabilities)


def test_noise_is_the_same_for_every_version_of_an_image() -> None:
    """A gate that does not look at the image decides alike on the clean and on any other image."""
    who = subject("sampled")
    for module in who.model.modules():
        if isinstance(module, nn.Linear) and module.out_features == 2:
            nn.init.zeros_(module.weight)
    x, y, ids = images(20)
    clean = judge(who, x, y, ids=ids, seed=0, draws=3)
    other = judge(who, 1 - x, y, ids=ids, seed=0, draws=3)
    assert torch.equal(clean.decisions, other.decisions)
    assert 0.2 < clean.decisions.float().mean() < 0.8
    part = torch.arange(12, 4, -1)
    assert torch.equal(judge(who, x[part], y[part], ids=ids[part], seed=0, draws=3).decisions, clean.decisions[part])
    assert not torch.equal(judge(who, x, y, ids=ids, seed=1, draws=3).decisions, clean.decisions)


class Constant(nn.Module):
    """The same logits for every image."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(x), -1)


def constant(logits: list[float]) -> Subject:
    return Subject("constant", Constant(logits), MacProfile(0, ()), "none")


def test_a_tie_is_not_robust_and_a_nan_is_an_error() -> None:
    x = images(3)[0]
    y = torch.tensor([0, 1, 2])
    verdict = judge(constant([1.0, 1.0, 0.0]), x, y, ids=y, seed=0, draws=1)
    assert verdict.correct.tolist() == [0, 0, 0]
    assert verdict.finite.all()
    broken = judge(constant([1.0, torch.nan, 0.0]), x, y, ids=y, seed=0, draws=1)
    assert not broken.finite.any()
    assert broken.correct.tolist() == [0, 0, 0]
    assert not judge(constant([torch.inf, 0.0, 0.0]), x, y, ids=y, seed=0, draws=1).finite.any()


def test_plain_network_has_no_gates() -> None:
    verdict = judge(
        constant([0.0, 3.0, 1.0]), images(3)[0], torch.ones(3, dtype=torch.int64), ids=torch.arange(3), seed=0, draws=9
    )
    assert verdict.decisions.shape == (3, 0)
    assert (verdict.draws, verdict.correct.tolist()) == (1, [1, 1, 1])
    torch.testing.assert_close(verdict.margins, torch.full((3,), 2.0))


def test_autocast_of_the_caller_does_not_reach_the_judge() -> None:
    who, (x, y, ids) = subject("argmax"), images(8)
    expected = judge(who, x, y, ids=ids, seed=0, draws=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = judge(who, x, y, ids=ids, seed=0, draws=1)
    for field in dataclasses.fields(expected):
        a, b = getattr(expected, field.name), getattr(got, field.name)
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def by_hand(who: Subject, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Probabilities of a right answer and of each class, expected margins, MACs and gates, a pass for each pattern."""
    gates = len(who.profile.blocks)
    sums: list[list[Tensor]] = [[] for _ in range(5)]
    for path in itertools.product([0.0, 1.0], repeat=gates):
        z = torch.tensor(path)
        with torch.no_grad(), gating(who.model, Frozen(z.expand(len(x), -1))) as trace:
            logits = who.model(x).double()
        p = trace.probabilities.double()
        weight = torch.where(z > 0, p, 1 - p).prod(1)
        label = logits[torch.arange(len(x)), y]
        margin = label - logits.scatter(1, y[:, None], -torch.inf).amax(1)
        macs = who.profile.fixed + (z.double() * torch.tensor(who.profile.blocks)).sum()
        votes = torch.nn.functional.one_hot(logits.argmax(1), 10)
        parts = (weight * (margin > 0), weight[:, None] * votes, weight * margin, weight * macs, weight[:, None] * z)
        for found, part in zip(sums, parts, strict=True):
            found.append(part)
    return tuple(torch.stack(found).sum(0) for found in sums)


@pytest.mark.parametrize("depth", [8, 14])
def test_the_exact_judge_is_the_sum_over_all_patterns(depth: int) -> None:
    x, _, ids = images(5)
    model = undecided(depth, x)
    who = Subject("gated", model, profile_macs(model, SHAPE), "sampled")
    with torch.no_grad():
        y = model(x).argmax(1)
    exact, drawn = (judge(who, x, y, ids=ids, seed=3, draws=draws) for draws in (EXACT, 1))
    right, votes, margin, macs, opened = by_hand(who, x, y)
    assert exact.draws == 0
    assert exact.probability is not None
    assert ((right > 0.01) & (right < 0.99)).any()
    torch.testing.assert_close(exact.share, right, rtol=1e-5, atol=1e-6)
    assert torch.equal(exact.choice_share, exact.share)
    assert torch.equal(exact.predictions, votes.argmax(1))
    torch.testing.assert_close(exact.margins.double(), margin, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(exact.macs, macs, rtol=1e-6, atol=0)
    torch.testing.assert_close(exact.mean_probabilities.double(), opened, rtol=1e-5, atol=1e-6)
    assert torch.equal(exact.choice_probabilities, exact.mean_probabilities)
    assert exact.finite.all()
    # Flips are about single decisions, with the noise of the first draw, as where draws are counted.
    assert torch.equal(exact.decisions, drawn.decisions)
    assert torch.equal(exact.probabilities, drawn.probabilities)


def test_exact_and_drawn_agree_within_the_error_of_draws() -> None:
    x, _, ids = images(5)
    model = undecided(8, x)
    who = Subject("gated", model, profile_macs(model, SHAPE), "sampled")
    with torch.no_grad():
        y = model(x).argmax(1)
    draws = 100
    exact, drawn = (judge(who, x, y, ids=ids, seed=1, draws=number) for number in (EXACT, draws))
    error = (exact.share * (1 - exact.share) / draws).sqrt()
    assert ((drawn.share - exact.share).abs() <= 4.5 * error + 1e-9).all()
    assert (error > 0.01).sum() > 2
    gates = exact.mean_probabilities
    assert ((drawn.mean_probabilities - gates).abs() < 4.5 * (gates * (1 - gates) / draws).sqrt() + 1e-4).all()
    torch.testing.assert_close(drawn.macs.mean(), exact.macs.mean(), rtol=0.05, atol=0)


def test_independent_rates_are_judged_exactly_too_and_a_sure_image_is_sure() -> None:
    model = gated(8)
    rates = (0.3, 1.0, 0.0)
    who = Subject("gated", model, profile_macs(model, SHAPE), "random", rates)
    x, y, ids = images(6)
    exact = judge(who, x, y, ids=ids, seed=0, draws=EXACT)
    costs = torch.tensor(who.profile.blocks).double()
    torch.testing.assert_close(exact.macs, (who.profile.fixed + costs @ torch.tensor(rates).double()).expand(6))
    paths = torch.tensor([[z, 1.0, 0.0] for z in (0.0, 1.0)])
    right = []
    for path in paths:
        with torch.no_grad(), gating(model, Frozen(path.expand(6, -1))):
            right.append(model(x).argmax(1) == y)
    torch.testing.assert_close(exact.share, 0.7 * right[0].double() + 0.3 * right[1].double())
    assert torch.equal(exact.share == 1, right[0] & right[1])
    assert torch.equal(exact.share == 0, ~right[0] & ~right[1])


def test_a_deterministic_policy_has_nothing_to_enumerate() -> None:
    who = subject("argmax")
    x, y, ids = images(4)
    exact, usual = (judge(who, x, y, ids=ids, seed=0, draws=draws) for draws in (EXACT, 5))
    assert exact.draws == 1
    assert torch.equal(exact.correct, usual.correct)


def test_dice_beside_the_gates_cannot_be_enumerated() -> None:
    who = dataclasses.replace(subject("sampled"), restless=True)
    x, y, ids = images(2)
    with pytest.raises(InputError, match="they alone, draw"):
        judge(who, x, y, ids=ids, seed=0, draws=EXACT)
