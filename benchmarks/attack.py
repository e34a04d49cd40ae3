"""How fast PGD is on our networks: beside torchattacks, and beside the passes that no attack can do without."""

from __future__ import annotations

import copy
import ctypes
import gc
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import attacked
from benchmarks.attacked import Setting
from benchmarks.forced import ratio, speeds
from benchmarks.inference import TYPES
from benchmarks.pairs import Way, in_turns
from robustbench_aig.attacks import Pgd
from robustbench_aig.precision import float32
from robustbench_aig.recipes import DeployedMode, PgdRecipe
from robustbench_aig.threat import Threat


@float32()
def measure(
    setting: Setting,
    threat: Threat,
    *,
    batch: int,
    pairs: int,
    steps: int | None,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Measure PGD with `attacked.STEPS` steps on one network; the result is one part of the JSON document.

    Speed is that of the first `batch` images. Where weights are trained (no gates forced), `verdicts` tells of all
    images what the ways leave of them.
    """
    device, batch = setting.x.device, min(batch, len(setting.x))
    acts = _acts(setting.of(slice(batch)), threat)
    ways = {key: Way(_endless(act), lead=0) for key, act in acts.items()}
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    seconds = in_turns(ways, rounds=pairs, steps=steps, wait=wait, progress=progress)
    theirs = seconds["torchattacks"]
    memory = {key: added_memory(acts[key], device) for key in ("torchattacks", *TYPES)}
    return {
        "model": setting.name,
        "batch": batch,
        "rate": setting.rate,
        "threat": str(threat),
        "steps": attacked.STEPS,
        "threads": torch.get_num_threads(),
        "pairs": pairs,
        "images_per_second": speeds(seconds, batch),
        "ratio_to_torchattacks": {
            key: ratio(theirs, seconds[key]) for key in (*TYPES, *(f"{kind}_dropping" for kind in TYPES))
        },
        "ratio_to_floor": {kind: ratio(seconds[kind], seconds[f"floor_{kind}"]) for kind in TYPES},
        "ratio_to_dense": {kind: ratio(seconds[f"dense_{kind}"], seconds[kind]) for kind in TYPES}
        if setting.gated
        else None,
        "memory": memory,
        "memory_ratio_to_torchattacks": {kind: _share(memory[kind], memory["torchattacks"]) for kind in TYPES},
        "verdicts": verdicts(setting, threat, batch) if setting.trained else None,
        "seconds_per_step": seconds,
    }


def verdicts(setting: Setting, threat: Threat, batch: int) -> dict[str, Any]:
    """What each way leaves of all images, `batch` at a time, judged by the network itself in float32.

    `robust_accuracy` is the share that it still classifies right; `same_verdict` the share of images of which the
    folded and fused float32 copy says the same as the network itself, on what the way found.
    """
    right: dict[str, list[Tensor]] = {}
    same: dict[str, list[Tensor]] = {}
    for start in range(0, len(setting.x), batch):
        part = setting.of(slice(start, start + batch))
        for key, act in _acts(part, threat).items():
            if key.startswith(("floor", "dense")):
                continue
            found = act()
            by_itself = part.right(part.model, found)
            right.setdefault(key, []).append(by_itself)
            same.setdefault(key, []).append(part.right(part.copies["fp32"], found) == by_itself)
    return {
        "images": len(setting.x),
        "clean_accuracy": float(setting.right(setting.model, setting.x).float().mean()),
        "robust_accuracy": {key: float(torch.cat(parts).float().mean()) for key, parts in right.items()},
        "same_verdict": {key: float(torch.cat(parts).float().mean()) for key, parts in same.items()},
    }


def _acts(setting: Setting, threat: Threat) -> dict[str, Callable[[], Tensor]]:
    """What is measured, by name; gates are constants in every gradient."""
    sparse, dense = (
        Pgd(PgdRecipe(steps=attacked.STEPS, step=0.25, gates=DeployedMode(mode="detached"))),
        Pgd(PgdRecipe(steps=attacked.STEPS, step=0.25, gates=DeployedMode())),
    )
    # With parameters that ask for gradients, as people hand it over.
    usual = copy.deepcopy(setting.model).requires_grad_(True)
    acts: dict[str, Callable[[], Tensor]] = {"torchattacks": partial(setting.torchattacks, usual, threat)}
    for kind, copied in setting.copies.items():
        acts[kind] = partial(setting.attack, sparse, copied, threat)
        acts[f"{kind}_dropping"] = partial(setting.attack, sparse.changed(keep="first"), copied, threat)
        acts[f"floor_{kind}"] = partial(setting.floor, copied, "sparse")
        if setting.gated:
            acts[f"dense_{kind}"] = partial(setting.attack, dense, copied, threat)
    return acts


def _endless(act: Callable[[], Tensor]) -> Iterator[None]:
    while True:
        act()
        yield


def added_memory(act: Callable[[], object], device: torch.device) -> int | None:
    """Bytes that an act needs at its peak on top of what there is before it; None where the system can't tell."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        act()
        return torch.cuda.max_memory_allocated(device) - before
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before would be used again and not be seen
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmRSS")
        act()
        return _resident("VmHWM") - before
    except (AttributeError, OSError):
        return None


def _resident(field: str) -> int:
    """A figure of Linux about this process, in bytes."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"/proc/self/status has no {field}")
    return 1024 * int(found[1])


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None
