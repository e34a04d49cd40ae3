"""Several processes learn what one would learn from the same batches, and leave one run."""

import json
import multiprocessing
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from robustbench_aig.data import load_data
from robustbench_aig.data.images import resident
from robustbench_aig.distributed import World
from robustbench_aig.errors import InputError
from robustbench_aig.recipes import (
    Adversarial,
    Augment,
    BatchShaping,
    GateTraining,
    MutualInformation,
    Optimizer,
    RateLoss,
    Training,
)
from robustbench_aig.runs import CHECKPOINT, read_run
from robustbench_aig.training import Hardware, Job, load_model, train
from robustbench_aig.training.batches import Batches
from robustbench_aig.training.learner import Learner
from robustbench_aig.training.losses import rate_loss
from robustbench_aig.zoo import find_model
from tests.command import COMMAND
from tests.networks import gated, images, plain
from tests.tiny import job, result, write_recipe

State = dict[str, Tensor]

PROCESSES, BATCH, EPOCHS, STEPS = 2, 16, 2, 4
LOOKING = GateTraining(
    mutual_information=MutualInformation(weight=0.5, of="class"), batch_shaping=BatchShaping(weight=2.0)
)
CASES: dict[str, tuple[RateLoss | None, Adversarial | None]] = {
    "plain": (None, None),
    "gated, mean": (RateLoss(reduction="mean"), None),
    "gated, sum": (RateLoss(reduction="sum"), None),
    "gated, looking": (RateLoss(), None),
    # L2, because a step along the gradient's sign would make much of a rounding error.
    "gated, pgd": (RateLoss(), Adversarial(method="pgd", eps="0.5", norm="l2", steps=3)),
    "gated, trades": (RateLoss(), Adversarial(method="trades", eps="0.5", norm="l2", steps=3)),
}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *COMMAND[1:]]


def learner_of(case: str, world: World) -> Learner:
    """Of a network in double precision whose batch-norm has running statistics, and so knows no neighbours."""
    gates, adversarial = CASES[case]
    network = (gated if gates else plain)(8).double()
    training = Training(
        epochs=EPOCHS,
        batch=BATCH,
        optimizer=Optimizer(lr=0.05),
        rate_loss=gates,
        gates=LOOKING if case == "gated, looking" else None,
        adversarial=adversarial,
    )
    targets = torch.full((3 if gates else 0,), 0.6, dtype=torch.float64)
    return Learner(network, training, targets, Hardware(world=world))


def learn(learner: Learner, epochs: int) -> State:
    """The state after so many epochs of shuffled and augmented batches."""
    split, world = resident(*images(STEPS * BATCH, size=8)), learner.hardware.world
    for epoch in range(epochs):
        for batch in Batches(split, BATCH, Augment(crop=0.125, flip=True), 0, world).epoch(epoch):
            learner.update(replace(batch, x=batch.x.double()), lr=0.05)
    return {name: value.clone() for name, value in learner.model.state_dict().items()}


def learn_normalising(case: str, world: World) -> State:
    """The same where each process takes batch-norm's statistics from its own images."""
    learner = learner_of(case, world)
    learner.model.train()
    learn(learner, 1)
    world.copy_from_leader(learner.statistics)
    return learner.model.state_dict()


def work(rank: int, folder: Path) -> None:
    """What one of two processes does; it leaves in the folder what it has learned, and they a run."""
    torch.set_num_threads(1)
    way = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", way, rank=rank, world_size=PROCESSES, timeout=timedelta(seconds=90))
    world = World(rank, PROCESSES)
    fixed = {case: learn(learner_of(case, world), EPOCHS) for case in CASES}
    normalising = {case: learn_normalising(case, world) for case in CASES}
    torch.save((fixed, normalising), folder / f"{rank}.pt")
    name, recipe = find_model(str(write_recipe(folder / f"{rank}.toml", gated=True, epochs=2, batch=32)), "digits")
    whole = Job(folder / "whole", name, recipe, load_data("digits", seed=0), seed=0, hardware=Hardware(world=world))
    list(train(whole))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes have left."""
    folder = tmp_path_factory.mktemp("two")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(rank, folder), daemon=True) for rank in range(PROCESSES)]
    for process in processes:
        process.start()
    until = time.monotonic() + 200
    for process in processes:
        process.join(until - time.monotonic())
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * PROCESSES
    return folder


def learned(folder: Path, rank: int) -> tuple[dict[str, State], dict[str, State]]:
    """By case, what a process has learned: on running statistics, and on each batch's own."""
    found: tuple[dict[str, State], dict[str, State]] = torch.load(folder / f"{rank}.pt")
    return found


def distance(one: State, other: State) -> float:
    """The largest relative difference among the tensors of two networks."""
    return max(float((one[n] - other[n]).norm() / other[n].norm()) for n in other if other[n].is_floating_point())


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_does(case: str, of_two: Path) -> None:
    """Order, augmentation, gate noise and attack belong to the image, and the losses to the whole batch."""
    learner = learner_of(case, World())
    before = learn(learner, 0)
    alone = learn(learner, EPOCHS)
    assert distance(before, alone) > 0.1
    for rank in range(PROCESSES):
        assert distance(learned(of_two, rank)[0][case], alone) < 1e-8


@pytest.mark.parametrize("case", CASES)
def test_weights_are_everybodys_and_statistics_of_batch_norm_the_leaders(case: str, of_two: Path) -> None:
    leader, other = (learned(of_two, rank)[1][case] for rank in range(PROCESSES))
    assert leader.keys() == other.keys()
    assert all(torch.equal(leader[name], other[name]) for name in leader)


@dataclass(frozen=True)
class Told(World):
    """One of several processes, which knows the mean over all of them without asking."""

    whole: Tensor | None = None

    def mean(self, local: Tensor) -> Tensor:
        assert self.whole is not None
        return self.whole


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("processes", [2, 4])
def test_the_mean_gradient_of_the_rate_loss_is_that_of_the_whole_batch(
    reduction: Literal["mean", "sum"], processes: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    decisions = torch.rand(16, 3, dtype=torch.float64, generator=generator).requires_grad_()
    targets = torch.tensor([0.6, 0.3, 1.0], dtype=torch.float64)
    whole = rate_loss(decisions, targets, reduction)
    (wanted,) = torch.autograd.grad(whole, decisions)

    def mean_gradient(world: World | None) -> tuple[Tensor, Tensor]:
        losses = torch.stack(
            [rate_loss(decisions[rank::processes], targets, reduction, world) for rank in range(processes)]
        )
        return losses, torch.autograd.grad(losses.mean(), decisions)[0]

    losses, found = mean_gradient(Told(0, processes, decisions.detach().mean(0)))
    torch.testing.assert_close(losses, whole.expand(processes), rtol=1e-12, atol=0)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    _, naive = mean_gradient(None)
    assert (naive - wanted).norm() > 0.1 * wanted.norm()


def test_a_batch_that_cannot_be_shared_equally_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 processes cannot share a batch of 256 images equally"):
        replace(job(tmp_path / "run"), hardware=Hardware(world=World(1, 3))).check()


def start_two(where: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command under torchrun."""
    pipe = subprocess.PIPE
    return subprocess.Popen([*TORCHRUN, *arguments], cwd=where, stdout=pipe, stderr=pipe, text=True)


def end_two(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Its stdout and stderr; it never hangs."""
    try:
        return process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends its processes, after half a minute by force
        process.communicate(timeout=60)
        raise


@pytest.mark.slow
def test_interrupted_and_resumed_under_torchrun_it_is_one_run_with_the_same_bits(of_two: Path, tmp_path: Path) -> None:
    write_recipe(tmp_path / "tiny.toml", gated=True, batch=32)
    arguments = ("train", "tiny.toml", "--epochs", "2", "--device", "cpu", "--json")
    run = tmp_path / "runs" / "digits-tiny-s0"
    process = start_two(tmp_path, *arguments)
    while process.poll() is None and not (run / CHECKPOINT).exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = end_two(process)
    assert process.returncode != 0  # torchrun's own status: it hides that of its processes
    assert stdout == ""
    assert stderr.count("it is saved in") == 1, stderr
    assert read_run(run, unfinished=True).status == "training"

    process = start_two(tmp_path, *arguments, "--resume")
    stdout, stderr = end_two(process)
    assert process.returncode == 0, stderr
    assert [line.split()[2] for line in stderr.splitlines() if "epoch" in line] == ["2/2"]
    assert "Warning" not in stderr
    (finished,) = json.loads(stdout)["runs"]
    assert (finished["status"], finished["processes"]) == ("finished", 2)
    assert not load_model(run).training
    assert result(run) == result(of_two / "whole")
