"""A run out of plain Python: what a training would have left behind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from robustbench_aig.evaluation import Network, network_of_run
from robustbench_aig.recipes import ModelRecipe, validate
from robustbench_aig.runs import (
    EpochRecord,
    ImageDependence,
    Init,
    Metrics,
    RobustScore,
    RunRecord,
    Score,
    Scores,
    Trained,
    write_history,
    write_run,
)
from robustbench_aig.training.weights import build_network

FIXED_MACS, BLOCK_MACS = 400_000, 4_500_000
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def recipe(
    *,
    family: Literal["gated", "stochastic", "plain"] = "gated",
    depth: int = 20,
    epochs: int = 24,
    adversarial: str | None = None,
    steps: list[int] | None = None,
) -> ModelRecipe:
    """Of a network whose gates are trained towards 0.6."""
    algorithm = {"gated": "gated-resnet", "stochastic": "stochastic-depth-resnet", "plain": "resnet"}[family]
    training: dict[str, Any] = {"epochs": epochs, "batch": 256, "optimizer": {"lr": 0.4, "nesterov": True}}
    if family == "gated":
        training["rate_loss"] = {}
    if adversarial:
        training["adversarial"] = {"method": adversarial}
    if steps:
        training["schedule"] = {"kind": "steps", "at": steps}
    content = {
        "summary": f"ResNet-{depth} of a test",
        "reference": "Veit and Belongie 2018, arXiv 1711.11503",
        "model": {"algorithm": algorithm, "depth": depth},
        "training": training,
        "figures": {
            "classes": 10,
            "shape": [3, 32, 32],
            "parameters": 277_820,
            "macs": FIXED_MACS + BLOCK_MACS * (depth - 2) // 2,
        },
    }
    return validate(ModelRecipe, content, "test").model_copy(update={"preset": "short"})


def score(rng: np.random.Generator, accuracy: float, gates: int, *, n: int = 2500, draws: int = 1) -> Score:
    """Around a rate of 0.6, each gate at its own."""
    own = 0.6 + 0.35 * np.sin(np.arange(gates))
    rates = np.clip(own + 0.05 * rng.standard_normal(gates), 0, 1).tolist()
    macs = FIXED_MACS + BLOCK_MACS * (sum(rates) if gates else 9)
    mean = sum(rates) / gates if gates else None
    return Score(accuracy=accuracy, n=n, draws=draws, mean_rate=mean, rates=rates, mean_macs=macs)


def scores(rng: np.random.Generator, of: ModelRecipe, accuracy: float, **how: int) -> Scores:
    """Under the policies of the network's family."""
    gates = len(of.model.targets)
    match of.model.family:
        case "gated":
            return {
                "argmax": score(rng, accuracy, gates, **how).model_copy(update={"draws": 1}),
                "sampled": score(rng, accuracy - 0.02, gates, **how),
            }
        case "stochastic":
            mean = sum(of.model.targets) / gates
            soft = score(rng, accuracy, gates, **how)
            return {"expected": soft.model_copy(update={"rates": of.model.targets, "mean_rate": mean, "draws": 1})}
        case _:
            return {"none": score(rng, accuracy, 0, **how).model_copy(update={"draws": 1})}


def history(of: ModelRecipe, epochs: int | None = None) -> list[EpochRecord]:
    """Of so many epochs, or all."""
    assert of.training is not None
    rng = np.random.default_rng(0)
    gates, whole, adversarial = len(of.model.targets), of.training.epochs, of.training.adversarial
    return [
        _epoch(rng, of, epoch, whole, gates, attacked=adversarial is not None)
        for epoch in range(1, (whole if epochs is None else epochs) + 1)
    ]


def _epoch(
    rng: np.random.Generator, of: ModelRecipe, epoch: int, whole: int, gates: int, *, attacked: bool
) -> EpochRecord:
    assert of.training is not None
    learned = 1 - math.exp(-4 * epoch / whole)
    accuracy = 0.1 + (0.5 if attacked else 0.8) * learned + 0.01 * float(rng.standard_normal())
    settings = of.training.adversarial
    trained = score(rng, 0.0, gates)
    robust = None
    if settings is not None:
        pgd = 0.1 + 0.3 * learned - 0.1 * max(0.0, epoch / whole - 0.7)
        robust = RobustScore(
            policy="argmax" if gates else "none",
            norm="linf",
            eps=settings.eps,
            n=1000,
            steps=10,
            fgsm=round(pgd + 0.08, 3),
            pgd=round(pgd, 3),
        )
    return EpochRecord(
        epoch=epoch,
        lr=_rate(of, epoch, whole),
        cross_entropy=2.3 - 1.9 * learned,
        divergence=0.3 * learned if settings and settings.method == "trades" else None,
        rate_loss=0.05 * math.exp(-epoch / 3) + 0.004 if of.training.rate_loss else None,
        train_accuracy=accuracy + 0.02,
        train_mean_rate=trained.mean_rate,
        train_rates=trained.rates,
        validation=scores(rng, of, accuracy),
        dependence=_dependence(rng, gates) if of.model.family == "gated" else None,
        robust=robust,
        seconds=70.0 + epoch % 5,
        images_per_second=670.0 - 3 * (epoch % 5),
    )


def _dependence(rng: np.random.Generator, gates: int) -> ImageDependence:
    of_gates: list[float | None] = rng.uniform(0, 1, gates).round(3).tolist()
    of_gates[0] = None
    return ImageDependence(n=1000, explained=round(float(rng.uniform(0.2, 0.8)), 3), of_gates=of_gates, paths=57)


def _rate(of: ModelRecipe, epoch: int, whole: int) -> float:
    assert of.training is not None
    lr, schedule = of.training.optimizer.lr, of.training.schedule
    if schedule.kind == "steps":
        return lr * schedule.factor ** sum(at <= epoch for at in schedule.at)
    return lr * min(epoch / whole / schedule.peak, (1 - epoch / whole) / (1 - schedule.peak) + 0.01)


def run(of: ModelRecipe, past: list[EpochRecord], **changes: Any) -> RunRecord:
    """Its record, finished unless `changes` say otherwise."""
    attacked = any(epoch.robust for epoch in past)
    best = max(past, key=lambda epoch: epoch.robust.pgd if epoch.robust else 0.0) if attacked else None
    rng = np.random.default_rng(1)
    metrics = Metrics(
        validation=scores(rng, of, 0.75, draws=10),
        test=scores(rng, of, 0.7412, n=10_000, draws=10),
    )
    content: dict[str, Any] = {
        "name": "cifar10-made-s0",
        "recipe_name": "test/made",
        "recipe": of,
        "data": Trained(
            name="cifar10", source="cifar10", seed=0, classes=CLASSES, shape=(3, 32, 32), mean=[0.5] * 3, std=[0.25] * 3
        ),
        "seed": 0,
        "precision": "bf16",
        "status": "finished",
        "created": "2026-11-24T05:00:00+00:00",
        "finished": "2026-11-24T06:00:00+00:00",
        "command": "aigrob train made.toml --data cifar10 --preset short --seed 0",
        "environment": {"python": "3.11.7", "torch": "2.9.0", "device": "cpu"},
        "parameters": 277_820,
        "metrics": metrics,
        "best_epoch": best.epoch if best else None,
        "weights_digest": "cd34" * 16,
    }
    return RunRecord(**(content | changes))


def unfinished(of: ModelRecipe, past: list[EpochRecord], **changes: Any) -> RunRecord:
    """Its record while it is being trained."""
    missing = {"status": "training", "finished": None, "metrics": None, "best_epoch": None, "weights_digest": None}
    return run(of, past, **(missing | changes))


def adversarial_run(method: str = "trades") -> tuple[RunRecord, list[EpochRecord]]:
    """A gated network that was trained on attacked images, beginning with a plain one, and stopped early."""
    of = recipe(adversarial=method, epochs=30)
    past = history(of, 27)
    began = Init(run="cifar10-resnet20-s0", weights_digest="ab12" * 16, tensors=120)
    stopped = "catastrophic overfitting in epoch 27: a test says so"
    return run(of, past, init=began, stopped=stopped, reason="test/made, because this is a CPU"), past


def network(of: ModelRecipe, past: Sequence[EpochRecord] = (), **changes: Any) -> Network:
    """The network of such a run, as an evaluation takes it; its weights are random."""
    record = run(of, list(past), **changes)
    return network_of_run(record, build_network(of, record.data), past)


def write(directory: Path, record: RunRecord, past: list[EpochRecord]) -> Path:
    """The run directory, without weights."""
    directory.mkdir(parents=True)
    write_run(directory, record)
    write_history(directory, past)
    return directory
