"""How fast gated networks infer: beside the official form, beside all blocks, and beside what skipping can save."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.forced import Forced, networks, random_batch, ratio, speeds
from benchmarks.pairs import Way, in_turns
from robustbench_aig.gating import Execution, Policy, gating
from robustbench_aig.models import fused
from robustbench_aig.precision import float32
from robustbench_aig.recipes import ModelRecipe

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@float32()
def measure(
    name: str,
    recipe: ModelRecipe,
    *,
    batch: int,
    rate: float,
    device: torch.device,
    pairs: int,
    steps: int | None,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Measure one gated network at one batch size; the result is one part of the JSON document."""
    gated, plain = networks(recipe, device)
    x, policy = random_batch(recipe, batch, device), Forced(rate, batch, len(recipe.model.targets), device)
    runs: dict[str, tuple[nn.Module, Execution]] = {"official": (gated, "dense")}
    for kind, dtype in TYPES.items():
        copied = fused(gated, dtype)
        runs[f"sparse_{kind}"], runs[f"dense_{kind}"] = (copied, "sparse"), (copied, "dense")
        runs[f"plain_{kind}"] = fused(plain, dtype), "dense"
    wanted = infer(gated, x, policy, "dense")
    ways = {key: Way(_endless(model, x, policy, execution), lead=0) for key, (model, execution) in runs.items()}
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    seconds = in_turns(ways, rounds=pairs, steps=steps, wait=wait, progress=progress)
    return {
        "model": name,
        "batch": batch,
        "rate": rate,
        "threads": torch.get_num_threads(),
        "pairs": pairs,
        "images_per_second": speeds(seconds, batch),
        "ratio_to_official": {kind: ratio(seconds["official"], seconds[f"sparse_{kind}"]) for kind in TYPES},
        "ratio_to_dense": {kind: ratio(seconds[f"dense_{kind}"], seconds[f"sparse_{kind}"]) for kind in TYPES},
        "ratio_to_ideal": {
            kind: ratio(seconds[f"sparse_{kind}"], seconds[f"plain_{kind}"], 1 / rate) for kind in TYPES
        },
        "agreement": {kind: agreement(infer(*_args(runs, kind, x, policy)), wanted) for kind in TYPES},
        "seconds_per_step": seconds,
    }


@torch.no_grad()
def infer(model: nn.Module, x: Tensor, policy: Policy, execution: Execution) -> Tensor:
    """Logits (B, classes)."""
    with gating(model, policy, execution=execution):
        logits: Tensor = model(x)
        return logits


def agreement(found: Tensor, wanted: Tensor) -> dict[str, float]:
    """How far logits (B, classes) are from others, relative to them, and the share of images with the same class."""
    return {
        "relative_error": float((found - wanted).norm() / wanted.norm()),
        "same_class": float((found.argmax(1) == wanted.argmax(1)).float().mean()),
    }


def _args(
    runs: dict[str, tuple[nn.Module, Execution]], kind: str, x: Tensor, policy: Policy
) -> tuple[nn.Module, Tensor, Policy, Execution]:
    model, execution = runs[f"sparse_{kind}"]
    return model, x, policy, execution


def _endless(model: nn.Module, x: Tensor, policy: Policy, execution: Execution) -> Iterator[None]:
    while True:
        infer(model, x, policy, execution)
        yield
