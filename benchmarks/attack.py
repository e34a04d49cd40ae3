"""How fast PGD is on our networks: beside torchattacks, and beside the passes that no attack can do without."""

from __future__ import annotations

import copy
import ctypes
import gc
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchattacks
from torch import Tensor, nn

from benchmarks.forced import Forced, networks, random_batch, ratio, speeds
from benchmarks.inference import TYPES, infer
from benchmarks.pairs import Way, in_turns
from robustbench_aig.attacks import Attack, Pgd, run_attack
from robustbench_aig.attacks.modes import Detached, StraightThrough
from robustbench_aig.errors import InputError
from robustbench_aig.gating import Argmax, Execution, Policy, gating
from robustbench_aig.models import lean
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import ModelRecipe
from robustbench_aig.threat import Threat

STEPS = 10


@dataclass(frozen=True)
class Setting:
    """What is attacked.

    Attributes:
        model: the network itself.
        policy: how gates decide.
        x: (B, C, H, W).
        y: (B,) the network's own predictions, so that no image is lost before it's attacked.
        threat: the ball, linf.
        copies: the network's lean copies by type.
    """

    model: nn.Module
    policy: Policy
    x: Tensor
    y: Tensor
    threat: Threat
    copies: dict[str, nn.Module]

    def attack(self, attack: Attack, copied: nn.Module) -> None:
        """Attack once; what crashes is no measurement."""
        stream = Stream.of(torch.arange(len(self.x), device=self.x.device), 0)
        found = run_attack(
            attack, self.model, self.policy, self.x, self.y, self.threat, stream=stream, seed=0, copy=copied
        )
        if found.reason is not None:
            raise InputError(f"the attack failed: {found.reason}")

    def torchattacks(self, model: nn.Module) -> None:
        """The same attack by torchattacks, on the network itself: every block is computed, then multiplied."""
        eps = self.threat.value
        with gating(model, self.policy):
            torchattacks.PGD(model, eps=eps, alpha=eps / 4, steps=STEPS, random_start=True)(self.x, self.y)

    def floor(self, copied: nn.Module, execution: Execution) -> None:
        """As many forward passes and input gradients as the attack has steps, and nothing else."""
        for _ in range(STEPS):
            x = self.x.clone().requires_grad_()
            with gating(copied, self.policy, execution=execution):
                torch.autograd.grad(F.cross_entropy(copied(x), self.y, reduction="sum"), x)


def measure(
    name: str,
    recipe: ModelRecipe,
    threat: Threat,
    *,
    batch: int,
    rate: float,
    device: torch.device,
    pairs: int,
    steps: int | None,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Measure PGD with `STEPS` steps on one network; the result is one part of the JSON document."""
    gates = len(recipe.model.targets)
    network, _ = networks(recipe, device)
    policy = Forced(rate, batch, gates, device) if gates else Argmax()
    x = random_batch(recipe, batch, device)
    copies = {kind: lean(network, dtype) for kind, dtype in TYPES.items()}
    setting = Setting(network, policy, x, infer(network, x, policy, "dense").argmax(1), threat, copies)
    acts = _acts(setting, gated=gates > 0)
    ways = {key: Way(_endless(act), lead=0) for key, act in acts.items()}
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    seconds = in_turns(ways, rounds=pairs, steps=steps, wait=wait, progress=progress)
    theirs = seconds["torchattacks"]
    memory = {key: added_memory(acts[key], device) for key in ("torchattacks", *TYPES)}
    return {
        "model": name,
        "batch": batch,
        "rate": rate if gates else None,
        "threat": str(threat),
        "steps": STEPS,
        "threads": torch.get_num_threads(),
        "pairs": pairs,
        "images_per_second": speeds(seconds, batch),
        "ratio_to_torchattacks": {
            key: ratio(theirs, seconds[key]) for key in (*TYPES, *(f"{kind}_dropping" for kind in TYPES))
        },
        "ratio_to_floor": {kind: ratio(seconds[kind], seconds[f"floor_{kind}"]) for kind in TYPES},
        "ratio_to_dense": {kind: ratio(seconds[f"dense_{kind}"], seconds[kind]) for kind in TYPES} if gates else None,
        "memory": memory,
        "memory_ratio_to_torchattacks": {kind: _share(memory[kind], memory["torchattacks"]) for kind in TYPES},
        "seconds_per_step": seconds,
    }


def _acts(setting: Setting, *, gated: bool) -> dict[str, Callable[[], None]]:
    """What is measured, by name; gates are constants in every gradient."""
    sparse, dense = Pgd(steps=STEPS, step=0.25, mode=Detached()), Pgd(steps=STEPS, step=0.25, mode=StraightThrough())
    # With parameters that ask for gradients, as people hand it over.
    usual = copy.deepcopy(setting.model).requires_grad_(True)
    acts: dict[str, Callable[[], None]] = {"torchattacks": partial(setting.torchattacks, usual)}
    for kind, copied in setting.copies.items():
        acts[kind] = partial(setting.attack, sparse, copied)
        acts[f"{kind}_dropping"] = partial(setting.attack, replace(sparse, keep="first"), copied)
        acts[f"floor_{kind}"] = partial(setting.floor, copied, "sparse")
        if gated:
            acts[f"dense_{kind}"] = partial(setting.attack, dense, copied)
    return acts


def _endless(act: Callable[[], None]) -> Iterator[None]:
    while True:
        act()
        yield


def added_memory(act: Callable[[], None], device: torch.device) -> int | None:
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
