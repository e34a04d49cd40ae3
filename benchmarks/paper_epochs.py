"""Two epochs of the paper's recipe, as `aigrob train --preset paper` takes them; one JSON document.

    python -m benchmarks.paper_epochs cifar10/aig110 --device cuda --images 45000 --out build/gpu/runs

A training that was cut goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.train import random_images
from robustbench_aig.cli.options import precision_for
from robustbench_aig.data import DataSet, load_data
from robustbench_aig.errors import AigrobError
from robustbench_aig.training import FinishedEvent, Hardware, Job, train
from robustbench_aig.zoo import find_model

EPOCHS = 2
_SHAPE, _CLASSES = (3, 32, 32), 10
_SAVE_EVERY = 20.0
"""Seconds between two checkpoints: little is lost where a training is cut."""


def make_job(name: str, source: str | None, images: int, device: torch.device, out: Path) -> Job:
    """The training, in bfloat16 where `aigrob train` would take it.

    Args:
        name: of the recipe.
        source: what `load_data` takes; None for random images of CIFAR-10's shape.
        images: to learn from, at most; a fifth as many are validated and tested on.
        device: to train on.
        out: folder for the run.
    """
    name, recipe = find_model(name, "cifar10")
    chosen = recipe.chosen("paper")
    assert chosen.training is not None
    chosen = chosen.model_copy(update={"training": chosen.training.model_copy(update={"epochs": EPOCHS})})
    data = _limited(random_images(_SHAPE, _CLASSES, images) if source is None else load_data(source, seed=0), images)
    hardware = Hardware(device, amp=precision_for(device, data.shape, amp=None))
    return Job(out / name.replace("/", "-"), name, chosen, data, seed=0, hardware=hardware)


def measure(job: Job, stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Train, or go on; what each epoch took and what was learned. Interrupted where `stop` says so."""
    cuda = job.hardware.device.type == "cuda"
    *_, last = train(job, resume=True, save_every=_SAVE_EVERY, stop=stop)
    assert isinstance(last, FinishedEvent)
    assert last.record.metrics is not None
    history = [json.loads(line) for line in (job.directory / "history.jsonl").read_text().splitlines()]
    return {
        "model": job.recipe_name,
        "preset": "paper",
        "data": job.data.name,
        "images": len(job.data.train),
        "batch": job.batch,
        "precision": last.record.precision,
        "seconds_per_epoch": [epoch["seconds"] for epoch in history],
        "images_per_second": [epoch["images_per_second"] for epoch in history],
        "cross_entropy": [epoch["cross_entropy"] for epoch in history],
        "test_accuracy": {policy: tested.accuracy for policy, tested in last.record.metrics.test.items()},
        "memory": torch.cuda.max_memory_allocated() if cuda else None,
    }


def _limited(data: DataSet, images: int) -> DataSet:
    few = max(1, images // 5)
    return replace(
        data, train=data.train.limit(images, 0), validation=data.validation.limit(few, 0), test=data.test.limit(few, 0)
    )


def main() -> None:
    """Measure one recipe and print the document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--data")
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    cut = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: cut.set())
    try:
        job = make_job(asked.model, asked.data, asked.images, torch.device(asked.device), asked.out)
        print(json.dumps(measure(job, cut.is_set)))
    except AigrobError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
