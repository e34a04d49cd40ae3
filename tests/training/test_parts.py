"""Losses, schedule, augmentation and tally against their definitions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_aig.gating import PooledGate, Sampled, gating
from robustbench_aig.training.augment import random_crop, random_flip
from robustbench_aig.training.losses import rate_loss
from robustbench_aig.training.schedule import triangular
from robustbench_aig.training.tally import Tally
from tests.networks import gated, images


def test_rate_loss_by_hand() -> None:
    decisions = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    targets = torch.tensor([0.5, 0.75, 1.0])  # the last is forced open and left out
    assert rate_loss(decisions, targets, "sum").item() == pytest.approx(0.25**2 + 0.5**2)
    assert rate_loss(decisions, targets, "mean").item() == pytest.approx((0.25**2 + 0.5**2) / 2)
    assert rate_loss(decisions, torch.ones(3), "mean").item() == 0


def test_rate_loss_is_of_the_whole_batch_not_of_each_image() -> None:
    half_open = torch.tensor([[1.0], [0.0]])
    assert rate_loss(half_open, torch.tensor([0.5]), "mean").item() == 0


def test_the_gradient_of_the_rate_loss_reaches_every_gate_and_pushes_it_shut() -> None:
    network = gated(8).train()
    x, _, _ = images(16)
    with gating(network, Sampled()) as trace:
        network(x)
    rate_loss(trace.decisions, torch.full((3,), -1.0), "sum").backward()  # type: ignore[no-untyped-call]
    heads = [module for module in network.modules() if isinstance(module, PooledGate)]
    assert len(heads) == 3
    for head in heads:
        assert head.fc2.bias.grad is not None
        assert head.fc2.bias.grad[1] > 0 > head.fc2.bias.grad[0]
        assert head.fc1.weight.grad is not None
        assert head.fc1.weight.grad.abs().sum() > 0


@given(steps=st.integers(1, 500), peak=st.floats(0.01, 0.99))
def test_the_schedule_rises_to_its_peak_and_falls_and_is_never_zero(steps: int, peak: float) -> None:
    factors = [triangular(step, steps, peak) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert abs((top + 0.5) / steps - peak) <= 1 / steps


def test_the_schedule_by_hand() -> None:
    assert [triangular(step, 4, 0.5) for step in range(4)] == [0.25, 0.75, 0.75, 0.25]


@settings(deadline=None, max_examples=25)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    down=st.integers(0, 3),
    across=st.integers(0, 3),
    seed=st.integers(0, 2**32),
)
def test_every_crop_is_a_window_of_the_padded_image(height: int, width: int, down: int, across: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    batch = torch.rand(5, 2, height, width, generator=generator)
    padded = torch.zeros(5, 2, height + 2 * down, width + 2 * across)
    padded[:, :, down : down + height, across : across + width] = batch
    cropped = random_crop(batch, down, across, generator)
    assert cropped.shape == batch.shape
    for before, after in zip(padded, cropped, strict=True):
        windows = before.unfold(1, height, 1).unfold(2, width, 1).permute(1, 2, 0, 3, 4)
        assert (windows == after).all((2, 3, 4)).any()


def test_shifts_differ_between_images_and_reach_their_limits() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = torch.zeros(400, 1, 9, 9)
    batch[:, :, 4, 4] = 1
    spots = random_crop(batch, 2, 1, generator).flatten(1).argmax(1)
    rows, columns = spots // 9, spots % 9
    assert set(rows.tolist()) == {2, 3, 4, 5, 6}
    assert set(columns.tolist()) == {3, 4, 5}


def test_half_of_the_images_are_mirrored() -> None:
    batch = torch.rand(1000, 1, 2, 3)
    flipped = random_flip(batch, torch.Generator().manual_seed(0))
    same = (flipped == batch).all((1, 2, 3))
    mirrored = (flipped == batch.flip(3)).all((1, 2, 3))
    assert (same ^ mirrored).all()
    assert 430 < int(mirrored.sum()) < 570


def test_the_tally_means_over_images() -> None:
    tally = Tally(2, torch.device("cpu"))
    zero = torch.zeros(())
    tally.add(torch.tensor(1.0), zero, torch.tensor([True, False]), torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    tally.add(torch.tensor(4.0), torch.tensor(3.0), torch.tensor([True]), torch.tensor([[1.0, 0.0]]))
    means = tally.means()
    assert means.cross_entropy == pytest.approx(2)
    assert means.penalty == pytest.approx(1)
    assert means.loss == pytest.approx(3)
    assert means.accuracy == pytest.approx(2 / 3)
    assert means.rates == pytest.approx([1, 1 / 3])
    assert means.mean_rate == pytest.approx(2 / 3)
    tally.add(torch.tensor(math.nan), zero, torch.tensor([True]), torch.ones(1, 2))
    assert not tally.means().finite
