"""Dense and sparse execution of the same decisions are equal, and sparse really skips."""

import pytest
import torch

from robustbench_aig.gating import Argmax, Expected, Frozen, Open, Policy, Random, Sampled, gating
from robustbench_aig.gating.execution import add_gated
from robustbench_aig.models import GatedResNet
from robustbench_aig.randomness import Stream
from tests.networks import CHANNELS, gated, gates, images, stir

IDS = torch.arange(6)


def policies(count: int) -> list[Policy]:
    generator = torch.Generator().manual_seed(3)
    return [
        Sampled(Stream.of(IDS, 1)),
        Argmax(),
        Expected(),
        Open(),
        Frozen((torch.rand(6, count, generator=generator) > 0.5).float()),
        Random(torch.full((count,), 0.5), Stream.of(IDS, 2)),
    ]


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("depth", [14, 110])
def test_dense_and_sparse_agree(number: int, depth: int) -> None:
    torch.manual_seed(0)
    count = (depth - 2) // 2
    model = stir(GatedResNet(depth, 10, targets=[0.6] * count, **CHANNELS))
    policy = policies(count)[number]
    x, _, _ = images(6, size=16)
    with torch.no_grad(), gating(model, policy) as trace:
        dense, decided = model(x), trace.decisions
    # The same decisions are handed to both, so a borderline gate cannot blur the comparison.
    with torch.no_grad(), gating(model, Frozen(decided), execution="sparse") as trace:
        sparse = model(x)
    assert torch.equal(trace.decisions, decided)
    assert (dense - sparse).abs().max() < 1e-5 * max(1.0, dense.abs().max().item())


def test_sparse_runs_the_block_on_open_images_alone() -> None:
    seen = []

    def residual(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return 2 * x

    x, skip = torch.ones(5, 1, 2, 2), torch.zeros(5, 1, 2, 2)
    out = add_gated(skip, residual, x, torch.tensor([1.0, 0, 1, 0, 0.5]), sparse=True)
    assert seen == [3]
    assert out[:, 0, 0, 0].tolist() == [2, 0, 2, 0, 1]
    assert torch.equal(add_gated(skip, residual, x, torch.zeros(5), sparse=True), skip)
    assert seen == [3]


def test_sparse_is_refused_in_training_mode() -> None:
    model = gated().train()
    with pytest.raises(RuntimeError, match="eval mode"), gating(model, Argmax(), execution="sparse"):
        model(images(4)[0])


def test_gradient_reaches_a_closed_gate_in_dense_execution_alone() -> None:
    model = gated()
    x, _, _ = images(6)
    for execution, reached in (("dense", True), ("sparse", False)):
        gate = gates(model)[-1]
        torch.nn.init.zeros_(gate.fc2.weight)
        gate.fc2.bias.data = torch.tensor([5.0, -5.0])
        with gating(model, Argmax(), execution=execution):  # type: ignore[arg-type]
            (gradient,) = torch.autograd.grad(model(x).square().sum(), gate.fc2.bias, materialize_grads=True)
        assert bool(gradient.abs().sum() > 0) == reached
