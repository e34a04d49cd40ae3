"""Small honest networks, trained on digits once for all test processes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from robustbench_aig.data import load_data
from robustbench_aig.evaluation import Network, network_of_run
from robustbench_aig.recipes import ModelRecipe, validate
from robustbench_aig.runs import read_run
from robustbench_aig.training import Job, load_model, train

_ADVERSARY = {"method": "fast", "eps": "24/255"}

NAMES: dict[str, tuple[bool, int, dict[str, Any] | None]] = {
    "plain": (False, 0, None),
    "gated-0": (True, 0, None),
    "gated-1": (True, 1, None),
    "gated-2": (True, 2, None),
    "adversarial": (False, 0, _ADVERSARY),
}
"""By name: whether gated, seed, adversarial training."""


def train_into(directory: Path, name: str) -> None:
    """Train a network, unless another process has done so already; the directory appears when it's finished."""
    if directory.exists():
        return
    gated, seed, adversarial = NAMES[name]
    training: dict[str, Any] = {"epochs": 12, "batch": 64, "optimizer": {"lr": 0.1, "nesterov": True}}
    training |= {"rate_loss": {}} if gated else {}
    training |= {"adversarial": adversarial} if adversarial else {}
    content = {
        "summary": "small",
        "reference": "none",
        "twin": "none",
        "model": {"algorithm": "gated-resnet" if gated else "resnet", "depth": 8, "widths": [8, 16, 16]},
        "training": training,
    }
    own = directory.with_name(f"{directory.name}.{os.getpid()}")
    recipe, data = validate(ModelRecipe, content, name), load_data("digits", seed=seed)
    list(train(Job(directory=own, recipe_name=name, recipe=recipe, data=data, seed=seed)))
    try:
        own.rename(directory)
    except OSError:  # another process was quicker
        shutil.rmtree(own)


def network(directory: Path) -> Network:
    """The network of a run."""
    return network_of_run(read_run(directory), load_model(directory))
