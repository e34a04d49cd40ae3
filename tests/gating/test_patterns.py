"""All patterns of the gates in one pass against a pass for each."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.errors import InputError
from robustbench_aig.gating import (
    Argmax,
    Every,
    Frozen,
    Policy,
    Random,
    Restless,
    Sampled,
    at_once,
    every_pattern,
    gating,
    patterns,
)
from robustbench_aig.models import GatedResNet, defended, fused
from robustbench_aig.models.stochastic_depth import StochasticDepthResNet
from robustbench_aig.policy_traits import MOST_GATES, NOT_DRAWN, NOT_OURS, TOO_MANY
from tests.models.foreign import adapted, recurrent
from tests.networks import CHANNELS, gated, images, plain, stir

X = images(3, size=16)[0]


def forced() -> nn.Module:
    torch.manual_seed(0)
    return stir(GatedResNet(14, 10, targets=[0.6, 1, 0.6, 0.6, 1, 0.6], widths=(8, 12, 16), **CHANNELS))


def blind() -> nn.Module:
    torch.manual_seed(0)
    survivals = [0.9, 0.8, 0.7]
    return stir(StochasticDepthResNet(8, 10, survivals=survivals, widths=(8, 12, 16), **CHANNELS))


def paths(model: nn.Module, forced_open: tuple[int, ...], gates: int) -> list[Tensor]:
    """(G,) decisions; the first gate's change fastest."""
    sides = [(1.0,) if gate in forced_open else (0.0, 1.0) for gate in reversed(range(gates))]
    return [torch.tensor(path[::-1]) for path in itertools.product(*sides)]


@torch.no_grad()
def one_by_one(model: nn.Module, path: Tensor, rates: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, open probabilities along a path, and its probability."""
    with gating(model, Frozen(path.expand(len(X), -1))) as trace:
        logits = model(X)
    p = trace.probabilities if rates is None else rates.expand(len(X), -1)
    return logits, trace.probabilities, torch.where(path > 0, p, 1 - p).prod(1)


@torch.no_grad()
def every(model: nn.Module, policy: Policy) -> Every:
    return every_pattern(model, model, X, policy)


@pytest.mark.parametrize(
    ("model", "forced_open", "gates"),
    [
        (gated(8), (), 3),
        (gated(14), (), 6),
        (forced(), (1, 4), 6),
        (blind(), (), 3),
        (defended(gated(8), "jpeg:75"), (), 3),
    ],
    ids=["3", "6", "forced", "blind", "defended"],
)
@pytest.mark.parametrize("copy", [False, True])
def test_every_pattern_is_the_pass_with_its_decisions(
    model: nn.Module, forced_open: tuple[int, ...], gates: int, copy: bool
) -> None:
    found = every(fused(model) if copy else model, Sampled())
    wanted = paths(model, forced_open, gates)
    assert len(found.logits) == len(wanted) == patterns(model)
    for pattern, path in enumerate(wanted):
        logits, along, probability = one_by_one(model, path, None)
        torch.testing.assert_close(found.logits[pattern], logits, rtol=1e-4, atol=1e-5)
        assert torch.equal(found.decisions[pattern], path.expand(len(X), -1))
        torch.testing.assert_close(found.probabilities[pattern], along, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.log_probability[pattern].exp(), probability, rtol=1e-4, atol=1e-6)


def test_independent_rates_give_the_same_probabilities_to_all_images() -> None:
    rates = torch.tensor([0.2, 1.0, 0.7])
    model = gated(8)
    found = every(model, Random(rates))
    for pattern, path in enumerate(paths(model, (), 3)):
        logits, _, probability = one_by_one(model, path, rates)
        torch.testing.assert_close(found.logits[pattern], logits, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.log_probability[pattern].exp(), probability)


def test_work_is_shared_and_closed_blocks_cost_nothing() -> None:
    """Block number g, from 0, runs once for each of 2^g histories: (2^G - 1) / G passes; 57 with nine gates."""
    model = gated(14)
    ran: list[int] = []
    for block in model.modules():
        if isinstance(block, nn.Sequential) and hasattr(block, "conv2"):
            block.register_forward_hook(lambda _, given, __: ran.append(len(given[0])))
    assert every(model, Sampled()).passes == pytest.approx(63 / 6)
    assert ran == [3 * 2**gate for gate in range(6)]
    assert every(gated(20), Sampled()).passes == pytest.approx(511 / 9)


def test_a_context_may_be_used_again_and_images_that_come_together_stay_apart() -> None:
    model = gated(8)
    with torch.no_grad(), gating(model, Sampled(), patterns=True) as trace:
        model(X)
        rows = model(X[:1])
    assert trace.patterns is not None
    torch.testing.assert_close(trace.patterns.each(rows), every(model, Sampled()).logits[:, :1])


def test_a_network_whose_gates_are_all_forced_open_has_one_pattern() -> None:
    model = GatedResNet(8, 10, targets=[1, 1, 1], **CHANNELS).eval()
    found = every(model, Sampled())
    torch.testing.assert_close(found.logits[0], model(X))
    assert found.log_probability.exp().tolist() == [[1.0]]
    assert found.passes == 1


def test_what_has_no_patterns_is_refused_in_one_line() -> None:
    def refused(model: nn.Module, policy: Policy) -> str:
        with pytest.raises(InputError) as raised:
            every(model, policy)
        return str(raised.value)

    assert refused(gated(8), Argmax()) == refused(gated(8), Restless(Sampled())) == NOT_DRAWN
    assert refused(adapted(recurrent()), Sampled()) == NOT_OURS
    assert refused(gated(6 * 5 + 2), Sampled()) == TOO_MANY
    assert MOST_GATES < 15


def test_gates_that_features_go_around_are_refused() -> None:
    """Rows from before a gate and from behind it are not the same images any more."""

    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = gated(8)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.network(x) + self.network(x)
            return out

    with pytest.raises(InputError, match="mixed up"):
        every(Around().eval(), Sampled())


def test_more_patterns_fewer_images() -> None:
    cpu = torch.device("cpu")
    assert at_once(plain(), cpu) == 8 * at_once(gated(8), cpu) == 64 * at_once(gated(14), cpu)
    assert at_once(gated(26), cpu) == 1
