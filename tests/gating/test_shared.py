"""Several draws in one pass against as many passes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robustbench_aig.gating import Policy, Random, Sampled, gating
from robustbench_aig.gating.shared import Draws, add_shared
from robustbench_aig.models import GatedResNet, defended, shares_draws
from robustbench_aig.models.stochastic_depth import StochasticDepthResNet
from robustbench_aig.randomness import Stream
from tests.models.foreign import adapted, recurrent
from tests.networks import CHANNELS, gated, images, plain, stir

IDS, DRAWS = torch.arange(6), 7


def networks() -> list[nn.Module]:
    torch.manual_seed(0)
    forced = stir(GatedResNet(14, 10, targets=[0.6, 1, 0.6, 0.6, 1, 0.6], **CHANNELS))
    blind = stir(StochasticDepthResNet(14, 10, survivals=[1.0, 0.9, 0.8, 0.7, 0.6, 0.5], **CHANNELS))
    return [gated(), forced, blind, defended(gated(), "jpeg:75")]


@torch.no_grad()
def one_by_one(model: nn.Module, policy: Policy, x: Tensor) -> list[tuple[Tensor, ...]]:
    with gating(model, policy, execution="sparse") as trace:
        return [(model(x), trace.decisions, trace.probabilities) for _ in range(DRAWS)]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("name", ["sampled", "random"])
def test_draws_at_once_are_those_of_as_many_passes(number: int, name: str) -> None:
    model = networks()[number]
    assert shares_draws(model)
    x, _, _ = images(6, size=16)
    gates = len(one_by_one(model, Sampled(), x)[0][1][0])
    stream = Stream.of(IDS, 3)
    policy = Sampled(stream) if name == "sampled" else Random(torch.full((gates,), 0.5), stream)
    expected = one_by_one(model, policy, x)
    with torch.no_grad(), gating(model, policy, execution="sparse", draws=DRAWS) as trace:
        for _ in range(2):  # a context may be used again
            rows = model(x)
        assert trace.draws is not None
        logits = trace.draws.each(rows)
    assert 6 <= len(rows) <= 6 * DRAWS
    assert trace.gates == gates
    for draw, (alone, decided, probabilities) in enumerate(expected):
        torch.testing.assert_close(logits[draw], alone, rtol=1e-5, atol=1e-5)
        assert torch.equal(trace.decisions[draw], decided)
        torch.testing.assert_close(trace.probabilities[draw], probabilities)
    assert len({tuple(path) for path in trace.decisions[:, 0].tolist()}) > 1


@settings(max_examples=40)
@given(st.data())
def test_rows_are_the_different_paths(data: st.DataObject) -> None:
    """Features that spell the path: after every gate there is one row for each that a draw has taken."""
    count, draws, gates = (data.draw(st.integers(1, most)) for most in (3, 5, 4))
    every = st.lists(st.lists(st.booleans(), min_size=count, max_size=count), min_size=draws, max_size=draws)
    decisions = torch.tensor(data.draw(st.lists(every, min_size=gates, max_size=gates))).float()
    shared = Draws(draws)
    x = torch.arange(1.0, count + 1).view(-1, 1, 1, 1)
    computed = []
    for gate, z in enumerate(decisions):

        def residual(rows: Tensor, value: int = 10 ** (gate + 1)) -> Tensor:
            computed.append(len(rows))
            return torch.full_like(rows, value)

        shared.each(x)
        x = add_shared(x, residual, x, z, shared)
    places = 10.0 ** torch.arange(1, gates + 1)
    expected = (decisions * places.view(-1, 1, 1)).sum(0) + torch.arange(1.0, count + 1)
    assert torch.equal(shared.each(x)[..., 0, 0, 0], expected)
    taken = [
        {tuple(path) for path in decisions[: gate + 1, :, image].T.tolist()}
        for gate in range(gates)
        for image in range(count)
    ]
    assert sum(computed) == sum(path[-1] == 1 for paths in taken for path in paths)
    assert len(x) == sum(len(paths) for paths in taken[-count:])


def test_only_residual_networks_of_ours_share() -> None:
    class Twice(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.network(x) + self.network(x.flip(3))
            return out

    assert not shares_draws(Twice(gated()))
    assert not shares_draws(plain())
    assert not shares_draws(adapted(recurrent()))
    assert not shares_draws(nn.Sequential())
