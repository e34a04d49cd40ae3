"""The judge's single rules: batches of draws, dice, ties, numbers that are none, and routes of classes."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.evaluation import Subject, judge
from robustbench_aig.evaluation.exact_judge import expect
from robustbench_aig.evaluation.judge import class_routes
from robustbench_aig.gating import Sampled, gating
from robustbench_aig.models import profile_macs
from robustbench_aig.models.macs import MacProfile
from robustbench_aig.randomness import Stream
from robustbench_aig.records import EXACT, Draws
from tests.networks import gated, images

SHAPE = (3, 12, 12)


def subject(policy: str, depth: int = 14) -> Subject:
    model = gated(depth)
    return Subject("gated", model, profile_macs(model, SHAPE), policy)


def test_what_passes_cost_is_the_mean_over_scoring_draws() -> None:
    who = subject("sampled")
    x, y, ids = images(20)
    verdict = judge(who, x, y, ids=ids, seed=4, draws=3)
    costs, found, margins = torch.tensor(who.profile.blocks).double(), [], []
    with torch.no_grad(), gating(who.model, Sampled(Stream.of(ids, 4, "judge"))) as trace:
        for _ in range(6):
            logits = who.model(x)
            found.append(who.profile.fixed + trace.decisions.double() @ costs)
            others = logits.scatter(1, y[:, None], -torch.inf)
            margins.append(logits[torch.arange(20), y] - others.amax(1))
    torch.testing.assert_close(verdict.macs, torch.stack(found[:3]).mean(0))
    torch.testing.assert_close(verdict.margins, torch.stack(margins[:3]).mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(verdict.choice_margins, torch.stack(margins[3:]).mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(verdict.share, verdict.correct / 3)
    torch.testing.assert_close(verdict.choice_share, verdict.choice_correct / 3)


@pytest.mark.parametrize(
    ("count", "draws", "sizes"), [(20, 5, [16, 4]), (20, 4, [20]), (3, 40, [1, 1, 1]), (24, 12, [8, 8, 8])]
)
def test_no_pass_over_draws_ends_with_more_than_eight_rows_an_image(count: int, draws: int, sizes: list[int]) -> None:
    """Of twice as many draws; whatever the pieces, every image has the answers that it has alone."""
    who, seen = subject("sampled"), []
    hook = who.model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    x, y, ids = images(count)
    whole = judge(who, x, y, ids=ids, seed=2, draws=draws)
    assert seen == sizes
    hook.remove()
    last = slice(count - 1, count)
    alone = judge(who, x[last], y[last], ids=ids[last], seed=2, draws=draws)
    assert torch.equal(whole.correct[last], alone.correct)
    assert torch.equal(whole.decisions[last], alone.decisions)
    assert whole.mean_probabilities.shape == whole.decisions.shape == (count, 6)


@pytest.mark.parametrize(("policy", "draws"), [("argmax", 1), ("sampled", 2), ("sampled", EXACT)])
def test_verdicts_hold_no_graph_and_are_of_their_images(policy: str, draws: Draws) -> None:
    """Even where images and weights need a gradient."""
    who = subject(policy, 8)
    x, y, ids = images(5)
    verdict = judge(who, x.requires_grad_(), y, ids=ids, seed=0, draws=draws)
    expected = expect(who.model, who.profile, Sampled(), x, y)
    for record, width in ((verdict, 5), (expected, 5)):
        for field in dataclasses.fields(record):
            value = getattr(record, field.name)
            assert not isinstance(value, Tensor) or (len(value) == width and not value.requires_grad)
        with pytest.raises(dataclasses.FrozenInstanceError):
            record.margins = y  # type: ignore[misc]
    assert verdict.decisions.dtype == torch.bool
    assert verdict.finite.shape == verdict.predictions.shape == (5,)
    with pytest.raises(dataclasses.FrozenInstanceError):
        who.policy = "open"  # type: ignore[misc]


def test_a_tie_of_every_pattern_is_a_mistake() -> None:
    who = subject("sampled", 8)
    assert isinstance(who.model.head, nn.Linear)
    nn.init.zeros_(who.model.head.weight)
    nn.init.zeros_(who.model.head.bias)
    x, y, ids = images(4)
    exact, drawn = (judge(who, x, y, ids=ids, seed=0, draws=draws) for draws in (EXACT, 3))
    for verdict in (exact, drawn):
        assert verdict.share.tolist() == verdict.choice_share.tolist() == [0] * 4
        assert verdict.predictions.tolist() == [0] * 4
        assert verdict.margins.tolist() == [0] * 4


def test_one_draw_that_is_no_number_is_an_error() -> None:
    """Images whose first block is open in any draw, be it for choosing; the exact judge opens it for all."""
    who = subject("sampled", 8)
    x, y, ids = images(6)
    who.model.stages[0][0].residual.register_forward_hook(lambda *call: call[2] * torch.inf)  # type: ignore[index,union-attr]
    passes = []
    with torch.no_grad(), gating(who.model, Sampled(Stream.of(ids, 0, "judge"))) as trace:
        for _ in range(4):
            who.model(x)
            passes.append(trace.decisions[:, 0].bool())
    opened = torch.stack(passes).any(0)
    verdict = judge(who, x, y, ids=ids, seed=0, draws=2)
    assert torch.equal(verdict.finite, ~opened)
    assert opened.sum() > 0
    assert not judge(who, x, y, ids=ids, seed=0, draws=EXACT).finite.any()


class Dice(nn.Module):
    """Answers by the process's dice alone."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), 3)


def test_a_network_s_own_dice_are_thrown_from_images_and_draw() -> None:
    x, y, ids = torch.zeros(50, 3, 2, 2), torch.zeros(50, dtype=torch.int64), torch.arange(50)
    who = Subject("dice", Dice(), MacProfile(7, ()), "none", restless=True)
    assert who.random
    one = judge(who, x, y, ids=ids, seed=0, draws=30)
    torch.manual_seed(99)
    again = judge(who, x, y, ids=ids, seed=0, draws=30)
    assert one.draws == 30
    assert torch.equal(one.margins, again.margins)
    assert not torch.equal(one.margins, judge(who, x, y, ids=ids, seed=1, draws=30).margins)
    assert one.share.mean().item() == pytest.approx(1 / 3, abs=0.05)
    assert len(set(one.correct.tolist())) > 5, "every draw has dice of its own"
    assert not torch.equal(one.correct, one.choice_correct)
    assert one.macs.tolist() == [7] * 50
    assert one.decisions.shape == (50, 0)


def test_a_network_without_dice_is_at_rest_where_nothing_is_said() -> None:
    who = subject("argmax")
    assert not who.restless
    assert not who.random
    assert [who.scoring(draws) for draws in (1, 5, EXACT)] == [1, 1, 1]
    assert [subject("sampled").scoring(draws) for draws in (1, 5, EXACT)] == [1, 5, 0]


def test_routes_of_classes_are_means_over_their_images() -> None:
    """In pieces of a hundred; a class with no image has the mean over all, one with a single image what that has."""
    who = subject("sampled", 8)
    x, _, ids = images(103)
    y = torch.arange(103) % 3
    y[y == 2] = 0
    y[50] = 3
    found = class_routes(who, x, y, ids=ids, seed=6, classes=5)
    with torch.no_grad(), gating(who.model, Sampled(Stream.of(ids, 6, "judge"))) as trace:
        who.model(x)
    p = trace.probabilities
    every = p.mean(0)
    expected = torch.stack([p[y == 0].mean(0), p[y == 1].mean(0), every, p[50], every])
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad
    seen: list[int] = []
    who.model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    class_routes(who, x, y, ids=ids, seed=6, classes=5)
    assert seen == [100, 3]
