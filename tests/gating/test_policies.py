"""The gate policies against closed forms, and the trace and context that carry them."""

import pytest
import torch
from torch import nn

from robustbench_aig.attacks.gradient_modes import attacker_policies as attackers
from robustbench_aig.errors import InputError
from robustbench_aig.gating import (
    DEPLOYABLE,
    Argmax,
    Expected,
    Frozen,
    Gate,
    Open,
    Policy,
    Random,
    Sampled,
    deployed_policy,
    gating,
)
from robustbench_aig.policy_traits import POLICIES, refuse_unknown, traits
from robustbench_aig.randomness import Stream
from tests.networks import gated, images, plain

LOGITS = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.3, 0.3], [-2.0, 3.0]])
P = (LOGITS[:, 1] - LOGITS[:, 0]).sigmoid()


def gradient(policy: Policy) -> torch.Tensor:
    logits = LOGITS.clone().requires_grad_()
    z = policy.decide(logits, 0, 0)
    (g,) = torch.autograd.grad(z.sum(), logits)
    return g


def test_argmax_is_hard_forward_and_softmax_backward() -> None:
    assert Argmax().decide(LOGITS, 0, 0).tolist() == [1, 0, 0, 1]
    slope = P * (1 - P)
    torch.testing.assert_close(gradient(Argmax()), torch.stack([-slope, slope], 1))


def test_sampled_backward_is_the_softmax_of_noisy_logits_at_a_temperature() -> None:
    stream = Stream.of(torch.arange(4), 0)
    noise = stream.child(0).child(0).logistic()
    soft = ((LOGITS[:, 1] - LOGITS[:, 0] + noise) / 2).sigmoid()
    slope = soft * (1 - soft) / 2
    torch.testing.assert_close(gradient(Sampled(stream, temperature=2)), torch.stack([-slope, slope], 1))
    assert set(Sampled(stream).decide(LOGITS, 0, 0).tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("with_stream", [True, False])
def test_sampled_opens_with_the_softmax_probability(with_stream: bool) -> None:
    """Gumbel-max samples from the softmax: 20,000 draws stay within four standard errors."""
    torch.manual_seed(0)
    n = 20000
    for row, p in zip(LOGITS, P, strict=True):
        policy = Sampled(Stream.of(torch.arange(n), 5) if with_stream else None)
        rate = policy.decide(row.expand(n, 2), 2, 1).mean().item()
        assert rate == pytest.approx(p.item(), abs=4 * (p * (1 - p) / n).sqrt().item())


def test_expected_open_and_frozen() -> None:
    torch.testing.assert_close(Expected().decide(LOGITS, 0, 0), P)
    slope = P * (1 - P)
    torch.testing.assert_close(gradient(Expected()), torch.stack([-slope, slope], 1))
    assert Open().decide(LOGITS, 0, 0).tolist() == [1, 1, 1, 1]
    given = torch.tensor([[0, 1], [1, 0], [1, 1], [0, 0]])
    assert Frozen(given).decide(LOGITS, 1, 0).tolist() == [1, 0, 1, 0]


def test_random_ignores_the_input() -> None:
    n = 20000
    policy = Random(torch.tensor([0.2, 0.7]), Stream.of(torch.arange(n), 1))
    low, high = torch.zeros(n, 2), torch.tensor([0.0, 50.0]).expand(n, 2)
    assert torch.equal(policy.decide(low, 1, 0), policy.decide(high, 1, 0))
    assert policy.decide(low, 1, 0).mean().item() == pytest.approx(0.7, abs=0.015)
    assert policy.decide(low, 0, 0).mean().item() == pytest.approx(0.2, abs=0.015)


def test_noise_depends_on_image_gate_and_draw_alone() -> None:
    model = gated()
    x, _, ids = images(12)

    def decisions(index: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad(), gating(model, Sampled(Stream.of(ids[index], 9))) as trace:
            draws = []
            for _ in range(3):
                model(x[index])
                draws.append(trace.decisions)
        return draws

    whole = decisions(torch.arange(12))
    for part in (torch.tensor([3]), torch.tensor([7, 2, 5]), torch.arange(11, -1, -1)):
        for draw, expected in zip(decisions(part), whole, strict=True):
            assert torch.equal(draw, expected[part])
    assert not torch.equal(whole[0], whole[1])


def test_contexts_nest_and_restore() -> None:
    model = gated()
    x, _, _ = images(3)
    with torch.no_grad(), gating(model, Open()) as outer:
        model(x)
        with gating(model, Argmax()) as inner:
            model(x)
        assert inner.decisions.mean() < 1
        model(x)
        assert outer.decisions.mean() == 1
    assert all(m.trace is None for m in model.modules() if isinstance(m, Gate))
    with pytest.raises(ValueError, match="planted"), gating(model, Open()):
        raise ValueError("planted")
    assert all(m.trace is None for m in model.modules() if isinstance(m, Gate))


def test_plain_network_has_an_empty_trace() -> None:
    model = plain()
    x, _, _ = images(2)
    with gating(model, Argmax()) as trace:
        model(x)
    assert trace.gates == 0


def test_outside_a_context_gates_sample_in_training_and_take_the_likelier_side_in_eval() -> None:
    model = gated()
    x, _, _ = images(4)
    with torch.no_grad(), gating(model, Argmax()):
        expected = model(x)
    assert torch.equal(model(x), expected)
    model.train()
    torch.manual_seed(0)
    assert not torch.equal(model(x), model(x))


class Twice(nn.Module):
    """One gate shared by two blocks, as in a SkipNet with a recurrent gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Shared()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for scale in (1.0, -1.0):
            z = self.gate.decide(torch.stack([torch.zeros(len(x)), scale * x.mean((1, 2, 3))], 1))
            x = x + z.view(-1, 1, 1, 1)
        return x


class Shared(Gate):
    pass


def test_a_shared_gate_counts_once_per_call() -> None:
    model = Twice()
    with gating(model, Argmax()) as trace:
        model(torch.ones(2, 1, 2, 2))
        assert trace.decisions.tolist() == [[1, 0], [1, 0]]
        model(-torch.ones(2, 1, 2, 2))
        assert trace.decisions.tolist() == [[0, 1], [0, 1]]


LOOK = torch.linspace(-3, 3, 64)
"""Differences of logits; the policies that are tried have a noise of their own for each of 64 images."""

TRIED = {
    **{name: deployed_policy(name, Stream.of(torch.arange(64), 3), [0.0]) for name in ("known", "majority", "static")},
    **{name: deployed_policy(name, rates=[0.5]) for name in DEPLOYABLE if name not in ("known", "majority", "static")},
    "frozen": Frozen(torch.tensor([[0.0], [1.0]]).repeat(32, 1)),
    "detached": attackers.Detached(Expected()),
    "frozen noise": attackers.Steady(Sampled(Stream.of(torch.arange(64), 1))),
    "bpda": attackers.SmoothBackward(Sampled(), 2.0),
    "leaded": attackers.Steep(2.0, hard=False, stream=None),
    "hard leaded": attackers.Steep(2.0, hard=True, stream=Stream.of(torch.arange(64), 1)),
    "smoothed": attackers.Jittered(Expected(), 1.0, Stream.of(torch.arange(64), 1)),
}


def decided(policy: Policy, difference: torch.Tensor, draw: int = 0) -> torch.Tensor:
    """(64,) under equal noise, wherever it comes from."""
    torch.manual_seed(draw)
    return policy.decide(torch.stack([torch.zeros_like(difference), difference], 1), 0, draw).detach()


@pytest.mark.parametrize("name", TRIED)
def test_a_policy_does_what_it_says_of_itself(name: str) -> None:
    policy, does = TRIED[name], TRIED[name].traits
    found = decided(policy, LOOK)
    assert does.looks == bool((found != decided(policy, -LOOK)).any())
    assert does.draws == policy.random == bool((found != decided(policy, LOOK, draw=1)).any())
    closed = bool(((found == 0) | (found == 1)).all() and (found == 0).any())
    assert does.skips == closed
    leaf = LOOK.clone().double().requires_grad_()
    z = policy.decide(torch.stack([torch.zeros_like(leaf), leaf], 1), 0, 0)
    torch.manual_seed(0)
    slope = torch.autograd.grad(z.sum(), leaf)[0] if z.requires_grad else torch.zeros_like(leaf)
    step = 1e-4
    wide = (decided(policy, leaf.detach() + step) - decided(policy, leaf.detach() - step)) / (2 * step)
    agrees = torch.allclose(slope, wide, atol=1e-4) and bool(slope.abs().max() > 1e-3)
    assert does.smooth == agrees


def test_every_policy_that_is_known_by_name_can_be_deployed() -> None:
    assert set(POLICIES) == set(DEPLOYABLE)
    assert not any(vars(traits("none")).values())
    with pytest.raises(InputError, match="did you mean 'sampled'"):
        refuse_unknown("sampeld")


def test_known_noise_is_an_images_own_whatever_asks_and_whatever_is_left_out() -> None:
    """The judge and every step of an attack, on some of the images, see the same decisions."""
    ids = torch.arange(500, 900)
    look = torch.stack([torch.zeros(400), torch.linspace(-2, 2, 400)], 1)
    judged = deployed_policy("known", Stream.of(ids, 1, "judge")).decide(look, 2, 0)
    attacked = deployed_policy("known", Stream.of(ids, "gates"))
    some = torch.arange(0, 400, 3)
    again = attacked.drawn(Stream.of(ids, "attack").child(7)[some].child(1)).decide(look[some], 2, 5)
    torch.testing.assert_close(again, judged[some])
    opened = judged.mean().item()
    assert opened == pytest.approx(look[:, 1].sigmoid().mean().item(), abs=0.08)
    assert (deployed_policy("known", Stream.of(ids, 1)).decide(look, 3, 0) != judged).any(), "gates have their own"
