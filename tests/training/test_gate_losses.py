"""What makes gates look at the image, against independent computations; and trainings that do so."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import one_hot

from robustbench_aig.distributed import World
from robustbench_aig.errors import Interrupted
from robustbench_aig.gating import Argmax, gating
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import BatchShaping, GateTraining, MutualInformation, Optimizer, RateLoss, Training
from robustbench_aig.runs import read_history
from robustbench_aig.training import FinishedEvent, Hardware, Job, train
from robustbench_aig.training.batches import Batch
from robustbench_aig.training.gate_losses import (
    beta_distance,
    class_information,
    mutual_information,
    of_whole_batch,
    pair_information,
)
from robustbench_aig.training.learner import Learner
from tests.networks import gated, images
from tests.tiny import job, result

FREE = torch.full((3,), 0.5, dtype=torch.float64)


def probabilities(images: int, gates: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(images, gates, dtype=torch.float64, generator=generator)


def test_mutual_information_is_that_of_the_joint_distribution() -> None:
    """Of an image drawn from the batch and the sampled decision: sum of joint · log(joint / product of marginals)."""
    p = probabilities(7)
    expected = []
    for column in p.T.numpy():
        joint = np.stack([column, 1 - column]) / 7
        product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
        expected.append(stats.entropy(joint.ravel(), product.ravel()))
    assert mutual_information(p, FREE).item() == pytest.approx(np.mean(expected), rel=1e-9)
    two_free = torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64)
    assert mutual_information(p, two_free).item() == pytest.approx((expected[0] + expected[2]) / 2, rel=1e-9)


def test_coins_tell_nothing_and_gates_that_split_the_images_tell_log_two() -> None:
    coins = torch.tensor([0.5, 0.9, 1.0]).expand(8, 3)
    assert mutual_information(coins, FREE.float()).item() == pytest.approx(0, abs=1e-6)
    split = torch.tensor([0.0, 1.0]).repeat(4)[:, None]
    assert mutual_information(split, torch.tensor([0.5])).item() == pytest.approx(np.log(2), abs=1e-4)
    assert mutual_information(split, torch.tensor([1.0])).item() == 0


def test_pair_information_is_that_of_the_joint_distribution() -> None:
    """Of an image drawn from the batch and two decisions that are drawn independently once it is known."""
    p = probabilities(7)
    expected = {}
    for i, j in ((0, 1), (0, 2), (1, 2)):
        one, other = (np.stack([p[:, gate], 1 - p[:, gate]]) for gate in (i, j))
        joint = one[:, None] * other[None] / 7
        product = joint.sum((0, 1), keepdims=True) * joint.sum(2, keepdims=True)
        expected[i, j] = stats.entropy(joint.ravel(), product.ravel()) / 2
    assert pair_information(p, FREE).item() == pytest.approx(np.mean(list(expected.values())), rel=1e-9)
    two_free = torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64)
    assert pair_information(p, two_free).item() == pytest.approx(expected[0, 2], rel=1e-9)
    assert pair_information(p, torch.tensor([0.5, 1.0, 1.0])).item() == 0


def test_gates_in_unison_tell_half_of_what_those_tell_that_part_the_images_each_in_its_way() -> None:
    halves = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    unison = halves[:, [0, 0]]
    for p, told in ((halves, np.log(2)), (unison, np.log(2) / 2), (torch.full_like(halves, 0.5), 0)):
        assert pair_information(p, FREE[:2]).item() == pytest.approx(told, abs=1e-4)
    assert mutual_information(unison, FREE[:2]).item() == pytest.approx(mutual_information(halves, FREE[:2]).item())


def test_class_information_is_that_of_the_joint_distribution() -> None:
    """Of the class of an image drawn from the batch and two decisions; one class has no image in it."""
    p, labels = probabilities(9), torch.tensor([0, 3, 1, 3, 0, 1, 1, 3, 0])
    expected = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        joint = np.zeros((2, 2, 4))
        for (one, other), label in zip(p[:, [i, j]].numpy(), labels, strict=True):
            joint[:, :, label] += np.outer([one, 1 - one], [other, 1 - other]) / 9
        product = joint.sum((0, 1), keepdims=True) * joint.sum(2, keepdims=True)
        seen = joint.sum((0, 1)) > 0
        expected.append(stats.entropy(joint[:, :, seen].ravel(), product[:, :, seen].ravel()) / 2)
    assert class_information(p, one_hot(labels, 4).to(p), FREE).item() == pytest.approx(np.mean(expected), rel=1e-9)
    assert class_information(p, one_hot(labels, 4).to(p), torch.ones(3)).item() == 0


def test_gates_that_tell_images_of_one_class_apart_tell_nothing_of_the_class() -> None:
    halves = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64).repeat(2, 1)
    for labels, told in ((torch.arange(8) // 4, 0), (torch.arange(8) % 4, np.log(2)), (torch.arange(8), np.log(2))):
        assert class_information(halves, one_hot(labels).to(halves), FREE[:2]).item() == pytest.approx(told, abs=1e-4)


@pytest.mark.parametrize(("a", "b"), [(0.6, 0.4), (0.1, 0.2), (1.0, 1.0), (2.0, 6.0), (40.0, 3.0)])
def test_the_beta_distance_and_its_gradient_are_those_of_scipy(a: float, b: float) -> None:
    p = probabilities(50).requires_grad_()
    (gradient,) = torch.autograd.grad(beta_distance(p, FREE, a, b), p)
    known, beta = p.detach().numpy(), stats.beta(a, b)
    ranks = stats.rankdata(known, axis=0)
    gap = ranks / 51 - beta.cdf(known)
    assert beta_distance(p, FREE, a, b).item() == pytest.approx((gap**2).mean(), rel=1e-4)
    np.testing.assert_allclose(gradient.numpy(), -2 * gap * beta.pdf(known) / 150, rtol=0.02, atol=1e-6)
    assert beta_distance(p, torch.ones_like(FREE), a, b).item() == 0


def test_shaped_probabilities_come_to_follow_the_beta_distribution() -> None:
    logits = torch.linspace(1.9, 2.1, 64)[:, None].requires_grad_()
    target, optimizer = torch.tensor([0.5]), torch.optim.Adam([logits], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        beta_distance(logits.sigmoid(), target, 0.6, 0.4).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    before = stats.kstest(torch.linspace(1.9, 2.1, 64).sigmoid().numpy(), stats.beta(0.6, 0.4).cdf)
    after = stats.kstest(logits.detach().sigmoid().numpy()[:, 0], stats.beta(0.6, 0.4).cdf)
    assert before.statistic > 0.5
    assert after.statistic < 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saturated_gates_have_finite_gradients(dtype: torch.dtype) -> None:
    logits = torch.tensor([-200.0, -20.0, 0.0, 20.0, 200.0], dtype=dtype)[:, None].requires_grad_()
    p, target = logits.sigmoid(), torch.tensor([0.5], dtype=dtype)
    for loss in (
        mutual_information(p, target),
        pair_information(p.expand(-1, 2), target.expand(2)),
        class_information(p.expand(-1, 2), torch.eye(5, dtype=dtype), target.expand(2)),
        beta_distance(p, target, 0.6, 0.4),
    ):
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        assert gradient.isfinite().all()


class Told(World):
    """One of several processes, which knows what all of them have without asking."""

    whole: Tensor

    def gather(self, local: Tensor) -> Tensor:
        return self.whole


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_the_mean_gradient_over_processes_is_that_of_the_whole_batch(processes: int) -> None:
    p = probabilities(16).requires_grad_()
    parts = [p[rank::processes] for rank in range(processes)]

    def loss(batch: Tensor) -> Tensor:
        told = mutual_information(batch, FREE) + pair_information(batch, FREE)
        return beta_distance(batch, FREE, 0.6, 0.4) - told

    losses = []
    for rank, part in enumerate(parts):
        world = Told(rank, processes)
        object.__setattr__(world, "whole", torch.cat(parts).detach())
        losses.append(loss(of_whole_batch(part, world)))
    wanted = torch.autograd.grad(loss(p), p)[0]
    torch.testing.assert_close(torch.stack(losses), loss(p).detach().expand(processes), rtol=1e-12, atol=0)
    torch.testing.assert_close(torch.autograd.grad(torch.stack(losses).mean(), p)[0], wanted, rtol=1e-9, atol=1e-15)


def learner_of(gates: GateTraining) -> Learner:
    training = Training(epochs=1, batch=16, optimizer=Optimizer(lr=0.05), rate_loss=RateLoss(), gates=gates)
    return Learner(gated(8).train(), training, torch.full((3,), 0.5), Hardware())


def batch() -> Batch:
    x, labels, ids = images(64)
    return Batch(x, labels, Stream.of(ids, 0, "gates"), Stream.of(ids, 0, "attack"))


def test_gates_are_sampled_until_their_share_of_the_training_and_argmax_from_then_on() -> None:
    learner, data = learner_of(GateTraining(argmax_from=0.5)), batch()
    with torch.no_grad(), gating(learner.model, Argmax()) as trace:
        learner.model(data.x)
        likelier = trace.decisions.clone()
    state = {name: value.clone() for name, value in learner.model.state_dict().items()}
    assert not torch.equal(learner.update(data, lr=0.0, progress=0.49).decisions, likelier)
    learner.model.load_state_dict(state)
    assert torch.equal(learner.update(data, lr=0.0, progress=0.5).decisions, likelier)


def test_the_weight_of_batch_shaping_falls_to_zero() -> None:
    shaping = []
    for progress in (0.0, 0.25, 0.5, 0.75):
        learner = learner_of(GateTraining(batch_shaping=BatchShaping(weight=3.0, until=0.5)))
        shaping.append(learner.update(batch(), lr=0.05, progress=progress).shaping.item())
    assert shaping[1] == pytest.approx(shaping[0] / 2)
    assert shaping[0] > 0
    assert shaping[2:] == [0, 0]


def looking(directory: Path, **gates: Any) -> Job:
    """A tiny training whose gates have to look."""
    of = job(directory, target=0.5)
    assert of.recipe.training is not None
    training = of.recipe.training.model_copy(update={"gates": GateTraining(**gates)})
    return replace(of, recipe=of.recipe.model_copy(update={"training": training}))


ALL: dict[str, Any] = {
    "mutual_information": MutualInformation(weight=2.0),
    "argmax_from": 0.5,
    "batch_shaping": BatchShaping(weight=1.0),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Job:
    done = looking(tmp_path_factory.mktemp("runs") / "looking", **ALL)
    assert isinstance(list(train(done))[-1], FinishedEvent)
    return done


def test_the_history_tells_the_losses_and_gates_come_to_look(finished: Job) -> None:
    history = read_history(finished.directory)
    information = [epoch.information_loss for epoch in history]
    assert all(loss is not None and -2 * np.log(2) <= loss <= 0 for loss in information)
    assert information[-1] < information[0]  # type: ignore[operator]
    assert all(epoch.shaping_loss is not None and 0 < epoch.shaping_loss < 1 for epoch in history)
    parts = history[0].model_dump(include={"cross_entropy", "rate_loss", "information_loss", "shaping_loss"})
    assert history[0].loss == pytest.approx(sum(parts.values()))


@pytest.mark.parametrize("stop", [3, 8])
def test_stopped_before_and_after_the_change_of_policy_it_resumes_to_the_same_bits(
    finished: Job, tmp_path: Path, stop: int
) -> None:
    cut = looking(tmp_path / "cut", **ALL)
    steps = iter(range(100))
    with pytest.raises(Interrupted):
        list(train(cut, tick=0, stop=lambda: next(steps) == stop))
    list(train(cut, resume=True))
    assert result(cut.directory) == result(finished.directory)
