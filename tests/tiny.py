"""Recipes and images small enough to train in a test."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from robustbench_aig.data import load_data
from robustbench_aig.recipes import ModelRecipe, validate
from robustbench_aig.runs import HISTORY, WEIGHTS
from robustbench_aig.training import Job


def recipe(*, gated: bool = True, epochs: int = 3, lr: float = 0.05, **model: Any) -> ModelRecipe:
    """Depth 8, four channels."""
    training: dict[str, Any] = {
        "epochs": epochs,
        "batch": 256,
        "augment": {"crop": 0.125, "flip": True},
        "optimizer": {"lr": lr},
    }
    if gated:
        training["rate_loss"] = {}
    algorithm = "gated-resnet" if gated else "resnet"
    content = {
        "summary": "tiny",
        "reference": "none",
        "twin": "plain" if gated else "gated",
        "model": {"algorithm": algorithm, "depth": 8, "widths": [4, 4, 4], **model},
        "training": training,
    }
    return validate(ModelRecipe, content, "test")


def job(directory: Path, *, gated: bool = True, seed: int = 0, **changes: Any) -> Job:
    """A tiny training on the embedded digits."""
    return Job(
        directory=directory,
        recipe_name="gated" if gated else "plain",
        recipe=recipe(gated=gated, **changes),
        data=load_data("digits", seed=seed),
        seed=seed,
    )


def write_recipe(path: Path, *, gated: bool, epochs: int = 3, batch: int = 8) -> Path:
    """The same as a TOML file."""
    algorithm = "gated-resnet" if gated else "resnet"
    rate_loss = "rate_loss = { weight = 2.0 }\n" if gated else ""
    path.write_text(
        f'summary = "tiny"\nreference = "none"\ntwin = "{"plain" if gated else "gated"}"\n'
        f'[model]\nalgorithm = "{algorithm}"\ndepth = 8\nwidths = [4, 4, 4]\n'
        f"[training]\nepochs = {epochs}\nbatch = {batch}\noptimizer = {{ lr = 0.05 }}\n{rate_loss}"
    )
    return path


def write_images(
    root: Path,
    *,
    train: int = 12,
    test: int = 3,
    size: tuple[int, int] = (8, 8),
    classes: Sequence[str] = ("cat", "dog"),
    mode: str = "RGB",
) -> Path:
    """A folder of random PNG images, brighter for later classes; `size` is (height, width)."""
    generator = np.random.default_rng(0)
    step = min(100, 155 // len(classes[1:] or classes))
    for split, count in (("train", train), ("test", test)):
        for position, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 100, (*size, 3), dtype=np.uint8) + np.uint8(step * position)
                Image.fromarray(pixels).convert(mode).save(folder / f"{number}.png")
    return root


def result(directory: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """What must not depend on interruptions: the weights' bytes, and the history without times."""
    lines = [json.loads(line) for line in (directory / HISTORY).read_text().splitlines()]
    history = [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in lines]
    return (directory / WEIGHTS).read_bytes(), history
