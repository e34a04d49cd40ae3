"""At which perturbation budgets a plain network falls: those suit its images, and claims are judged there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from robustbench_aig.attacks import Pgd, View
from robustbench_aig.data import ImageSet
from robustbench_aig.gating import deployed_policy
from robustbench_aig.network_modes import frozen_in_eval_mode
from robustbench_aig.policy_traits import PLAIN
from robustbench_aig.precision import float32
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import PgdRecipe
from robustbench_aig.runs import Fall, RunRecord, read_run, write_run
from robustbench_aig.threat import Threat
from robustbench_aig.training.weights import load_model

IMAGES, STEPS, BATCH = 200, 10, 100
HIGH, LOW = 0.9, 0.1
"""Shares of its clean accuracy between which a network falls."""

WANTED, TRIES = 3, 8
"""Budgets that are chosen, and attempts between the ladder's until there are so many."""

LADDER: tuple[float, ...] = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)
"""Budgets that are tried, in 255ths, until hardly anything is left."""


def record_fall(directory: Path, validation: ImageSet, device: torch.device) -> RunRecord:
    """The record of a finished plain run, with its fall, which is measured and written where it isn't known yet.

    What doesn't fall within the ladder, or doesn't fit into the device's memory beside it, stays as it is.
    """
    record = read_run(directory)
    if record.family != "plain" or record.fall is not None or not len(validation):
        return record
    try:
        measured = measure_fall(load_model(directory, device), validation.to(device), record.seed)
    except torch.OutOfMemoryError:
        return record
    if measured is not None:
        record = record.model_copy(update={"fall": measured})
        write_run(directory, record)
    return record


@float32()
def measure_fall(model: nn.Module, validation: ImageSet, seed: int) -> Fall | None:
    """Attack some validation images by PGD at one budget after the other, then at some between these.

    Args:
        model: plain, in eval mode, on the images' device.
        validation: never test images: what is judged is not chosen on what it is judged by.
        seed: chooses the images, and the attack's starting points.

    Returns:
        None where no three budgets are found at which it keeps between a tenth and nine tenths of its clean accuracy.
    """
    images = validation.limit(IMAGES, seed)
    attack, view = Pgd(PgdRecipe(steps=STEPS, step=0.25)), View(model, deployed_policy(PLAIN))

    def accuracy(threat: Threat | None) -> float:
        right = torch.zeros((), dtype=torch.int64, device=images.labels.device)
        for index in torch.split(torch.arange(len(images), device=images.labels.device), BATCH):
            x, y = images.batch(index), images.labels[index]
            if threat is not None:
                x = attack(view, x, y, threat, Stream.of(images.ids[index], seed, "fall"))
            with torch.no_grad():
                right += (model(x).argmax(1) == y).sum()
        return int(right) / len(images)

    with frozen_in_eval_mode(model):
        clean = accuracy(None)
        curve = _between(accuracy, clean, _down(accuracy, clean)) if clean else {}
    inside = _inside(curve, clean)
    if len(inside) < WANTED:
        return None
    chosen = [inside[0], inside[len(inside) // 2], inside[-1]]
    told = {_threat(size).eps: value for size, value in curve.items()}
    return Fall(
        n=len(images), steps=STEPS, clean=clean, accuracies=told, budgets=[_threat(size).eps for size in chosen]
    )


def _down(accuracy: Callable[[Threat], float], clean: float) -> dict[float, float]:
    """Size to accuracy, ascending, until less than a tenth of the clean accuracy is left."""
    curve: dict[float, float] = {}
    for size in LADDER:
        curve[size] = accuracy(_threat(size))
        if curve[size] < LOW * clean:
            break
    return curve


def _between(accuracy: Callable[[Threat], float], clean: float, curve: dict[float, float]) -> dict[float, float]:
    """The same with sizes in the middle of the widest steps of the fall, until three lie inside it, or enough don't."""
    for _ in range(TRIES):
        if len(_inside(curve, clean)) >= WANTED:
            break
        sizes = [0.0, *curve]
        values = [clean, *curve.values()]
        # Where it falls between two sizes: not both above the fall, nor both below it.
        steps = [
            (high - low, (low + high) / 2)
            for low, high, before, after in zip(sizes, sizes[1:], values, values[1:], strict=False)
            if after <= HIGH * clean and before >= LOW * clean
        ]
        if not steps:
            break
        middle = max(steps)[1]
        curve = dict(sorted((curve | {middle: accuracy(_threat(middle))}).items()))
    return curve


def _inside(curve: dict[float, float], clean: float) -> list[float]:
    return [size for size, value in curve.items() if LOW * clean <= value <= HIGH * clean]


def _threat(size: float) -> Threat:
    return Threat.parse(f"{size:g}/255")
