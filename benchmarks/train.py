"""How fast `aigrob train` trains: beside the loop that people write, and beside what no loop can do without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.pairs import Way, in_turns, ratios
from benchmarks.usual_loop import PREFETCHED, WORKERS, usual_loop
from robustbench_aig.data import DataSet
from robustbench_aig.data.images import resident
from robustbench_aig.errors import InputError
from robustbench_aig.gating import Sampled, gating
from robustbench_aig.medians import median_with_interval
from robustbench_aig.models import build_model
from robustbench_aig.precision import float32
from robustbench_aig.recipes import ModelRecipe
from robustbench_aig.training import Job
from robustbench_aig.training.batches import Batches
from robustbench_aig.training.epoch_sums import Tally
from robustbench_aig.training.hardware import precision
from robustbench_aig.training.learner import Learner

IMAGES = 4096
_SHAPE, _CLASSES = (3, 32, 32), 10


def make_job(name: str, recipe: ModelRecipe, data: DataSet | None) -> Job:
    """The training that is measured, on the CPU unless its hardware is replaced; it writes nothing.

    Args:
        name: of the recipe.
        recipe: its preset chosen.
        data: None for random images of the recipe's shape, CIFAR-10's where it names none.

    Raises:
        InputError: the usual loop knows no such training.
    """
    if recipe.training is not None and recipe.training.adversarial is not None:
        raise InputError(f"{name} trains on attacked images, which the usual loop doesn't: name the recipe without")
    figures = recipe.figures
    shape, classes = (figures.shape, figures.classes) if figures else (_SHAPE, _CLASSES)
    return Job(Path(name), name, recipe, data or random_images(shape, classes), seed=0)


def random_images(shape: Sequence[int], classes: int, count: int = IMAGES) -> DataSet:
    """Random images of a shape (C, H, W) and labels, the same each time, in place of every split."""
    channels, height, width = shape
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)
    split = resident(images, torch.randint(0, classes, (count,), generator=generator))
    names = tuple(str(label) for label in range(classes))
    return DataSet("random", "random", (channels, height, width), names, split, split, split)


def measure(job: Job, *, pairs: int, steps: int | None, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Measure one training in three ways; the result is one model's part of the JSON document."""
    device = job.hardware.device
    with closing(usual_loop(network(job, ours=False), job)) as usual:
        ways = {
            "ours": Way(our_loop(network(job), job)),
            "usual_loop": Way(usual, lead=WORKERS * PREFETCHED),
            "floor": Way(floor(network(job), job)),
        }
        wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
        seconds = in_turns(ways, rounds=pairs, steps=steps, wait=wait, progress=progress)
    return {
        "model": job.recipe_name,
        "data": job.data.name,
        "batch": job.batch,
        "precision": "bf16" if job.hardware.amp else "fp32",
        "threads": torch.get_num_threads(),
        "workers": WORKERS,
        "pairs": pairs,
        "images_per_second": {name: median(job.batch / each for each in times) for name, times in seconds.items()},
        "ratio_to_usual_loop": median_with_interval(ratios(seconds["usual_loop"], seconds["ours"]))._asdict(),
        "ratio_to_floor": median_with_interval(ratios(seconds["ours"], seconds["floor"]))._asdict(),
        "seconds_per_step": seconds,
    }


def network(job: Job, *, ours: bool = True) -> nn.Module:
    """The same first weights each time, in train mode on the job's device.

    Args:
        job: names recipe and data.
        ours: channels-last as `aigrob train` has it; otherwise contiguous, and the images come normalised.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        data = job.data
        model = build_model(job.recipe.model, classes=len(data.classes), mean=data.mean, std=data.std)
    if not ours:
        model.normalise = nn.Identity()
    layout = torch.channels_last if ours else torch.contiguous_format
    return model.to(job.hardware.device, memory_format=layout).train()  # type: ignore[no-any-return,call-overload]


def our_loop(model: nn.Module, job: Job) -> Iterator[None]:
    """The steps of `aigrob train`: batches from resident images, update, tally."""
    device, training = job.hardware.device, job.training
    targets = torch.tensor(job.recipe.model.targets, device=device)
    learner = Learner(model, training, targets, job.hardware)
    batches = Batches(job.data.train.to(device), job.batch, training.augment, job.seed, job.hardware.world)
    for epoch in count():
        tally = Tally.empty(len(targets), device)
        for batch in batches.epoch(epoch):
            tally.add(learner.update(batch, training.optimizer.lr))
            yield


def floor(model: nn.Module, job: Job) -> Iterator[None]:
    """Forward and backward alone, over and over on one random batch; gates are sampled without a rate loss."""
    device = job.hardware.device
    x = torch.rand(job.batch, *job.data.shape, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, len(job.data.classes), (job.batch,), device=device)
    with gating(model, Sampled()):
        while True:
            model.zero_grad(set_to_none=True)
            with float32():
                with precision(device, amp=job.hardware.amp):
                    logits = model(x)
                loss = F.cross_entropy(logits.float(), labels, label_smoothing=job.training.label_smoothing)
                loss.backward()  # type: ignore[no-untyped-call]
            yield
