"""Losses, schedule, augmentation and tally against their definitions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_aig.gating import PooledGate, Sampled, gating
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import Augment, Steps
from robustbench_aig.training.augment import augment, random_crop
from robustbench_aig.training.epoch_sums import Tally
from robustbench_aig.training.learner import Outcome
from robustbench_aig.training.losses import divergence, rate_loss
from robustbench_aig.training.schedule import factor, triangular
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
    cropped = random_crop(batch, down, across, torch.rand(5, 2, generator=generator))
    assert cropped.shape == batch.shape
    for before, after in zip(padded, cropped, strict=True):
        windows = before.unfold(1, height, 1).unfold(2, width, 1).permute(1, 2, 0, 3, 4)
        assert (windows == after).all((2, 3, 4)).any()


def test_shifts_differ_between_images_and_are_evenly_spread() -> None:
    batch = torch.zeros(3000, 1, 9, 9)
    batch[:, :, 4, 4] = 1
    crop = Augment(crop=2 / 9, flip=False)
    spots = augment(batch, crop, Stream.of(torch.arange(3000), 0)).flatten(1).argmax(1)
    counts = torch.zeros(9, 9).index_put((spots // 9, spots % 9), torch.ones(3000), accumulate=True)
    assert counts[2:7, 2:7].sum() == 3000
    assert 80 < counts[2:7, 2:7].min() <= counts[2:7, 2:7].max() < 160  # 120 expected


def test_half_of_the_images_are_mirrored() -> None:
    batch = torch.rand(1000, 1, 2, 3)
    flipped = augment(batch, Augment(flip=True), Stream.of(torch.arange(1000), 0))
    same = (flipped == batch).all((1, 2, 3))
    mirrored = (flipped == batch.flip(3)).all((1, 2, 3))
    assert (same ^ mirrored).all()
    assert 430 < int(mirrored.sum()) < 570


def test_augmentation_belongs_to_the_image_not_to_its_batch() -> None:
    batch, ids, settings = torch.rand(12, 3, 8, 8), torch.arange(100, 112), Augment(crop=0.25, flip=True)
    whole = augment(batch, settings, Stream.of(ids, 0, "augmentation", 3))
    order = torch.randperm(12)
    parts = [
        augment(batch[part], settings, Stream.of(ids[part], 0, "augmentation", 3)) for part in torch.split(order, 5)
    ]
    assert torch.equal(torch.cat(parts), whole[order])
    assert not torch.equal(augment(batch, settings, Stream.of(ids, 0, "augmentation", 4)), whole)


def outcome(cross_entropy: float, penalty: float, right: list[bool], decisions: list[list[float]]) -> Outcome:
    return Outcome(
        cross_entropy=torch.tensor(cross_entropy),
        divergence=torch.tensor(0.5),
        penalty=torch.tensor(penalty),
        information=torch.tensor(-0.25),
        shaping=torch.tensor(0.125),
        right=torch.tensor(right),
        decisions=torch.tensor(decisions),
    )


def test_the_tally_means_over_images() -> None:
    tally = Tally.empty(2, torch.device("cpu"))
    tally.add(outcome(1, 0, [True, False], [[1.0, 0.0], [1.0, 1.0]]))
    tally.add(outcome(4, 3, [True], [[1.0, 0.0]]))
    means = tally.means()
    assert means.cross_entropy == pytest.approx(2)
    assert means.divergence == pytest.approx(0.5)
    assert means.penalty == pytest.approx(1)
    assert (means.information, means.shaping) == pytest.approx((-0.25, 0.125))
    assert means.loss == pytest.approx(3.375)
    assert means.accuracy == pytest.approx(2 / 3)
    assert means.rates == pytest.approx([1, 1 / 3])
    assert means.mean_rate == pytest.approx(2 / 3)
    assert Tally(tally.sums.clone()).means() == means
    tally.add(outcome(math.nan, 0, [True], [[1.0, 1.0]]))
    assert not tally.means().finite


def test_the_divergence_of_trades_by_hand() -> None:
    clean, attacked = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    p, q = clean.softmax(1), attacked.softmax(1)
    assert divergence(attacked, clean).item() == pytest.approx((p * (p / q).log()).sum().item() / 2)


def test_steps_of_the_learning_rate_begin_with_their_epoch() -> None:
    schedule = Steps(kind="steps", at=[3, 4], factor=0.1)
    assert [factor(schedule, 0, 1, epoch) for epoch in range(5)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])
