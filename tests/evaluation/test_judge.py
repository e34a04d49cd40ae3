"""The judge against passes made by hand."""

import dataclasses
import importlib

import pytest
import torch
from torch import nn

from robustbench_aig.evaluation import Subject, judge
from robustbench_aig.gating import Argmax, Sampled, gating
from robustbench_aig.models import profile_macs
from robustbench_aig.models.macs import MacProfile
from robustbench_aig.randomness import Stream
from tests.networks import gated, images

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
