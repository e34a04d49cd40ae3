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

LADDER = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)
"""Budgets that are tried, in 255ths, until hardly anything is left."""


def record_fall(directory: Path, validation: ImageSet, device: torch.device) -> RunRecord:
    """The record of a finished plain run, with its fall, which is measured and written where it isn't known yet."""
    record = read_run(directory)
    if record.family != "plain" or record.fall is not None or not len(validation):
        return record
    measured = measure_fall(load_model(directory, device), validation.to(device), record.seed)
    record = record.model_copy(update={"fall": measured})
    write_run(directory, record)
    return record


@float32()
def measure_fall(model: nn.Module, validation: ImageSet, seed: int) -> Fall:
    """Attack some validation images by PGD at one budget after the other.

    Args:
        model: plain, in eval mode, on the images' device.
        validation: never test images: what is judged is not chosen on what it is judged by.
        seed: chooses the images, and the attack's starting points.
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
        curve = _down(accuracy, clean)
    return Fall(n=len(images), steps=STEPS, clean=clean, accuracies=curve, budgets=_budgets(curve, clean))


def _down(accuracy: Callable[[Threat], float], clean: float) -> dict[str, float]:
    """Epsilon to accuracy, ascending, until less than a tenth of the clean accuracy is left."""
    curve: dict[str, float] = {}
    for size in LADDER:
        threat = Threat.parse(_spelled(size))
        curve[threat.eps] = accuracy(threat)
        if curve[threat.eps] < LOW * clean:
            break
    return curve


def _budgets(curve: dict[str, float], clean: float) -> list[str]:
    """Three budgets at which a network keeps between a tenth and nine tenths of its clean accuracy."""
    left = dict(zip(LADDER, curve.values(), strict=False))
    inside = [size for size, value in left.items() if LOW * clean <= value <= HIGH * clean]
    above = [size for size, value in left.items() if value > HIGH * clean]
    match len(inside):
        case 0:
            last = above[-1] if above else LADDER[0]
            chosen = [1.25 * last, 1.5 * last, 1.75 * last]
        case 1:
            chosen = [0.75 * inside[0], inside[0], 1.5 * inside[0]]
        case 2:
            chosen = [inside[0], 1.5 * inside[0], inside[1]]
        case count:
            chosen = [inside[0], inside[count // 2], inside[-1]]
    return [_spelled(size) for size in chosen]


def _spelled(size: float) -> str:
    return f"{size:g}/255"
