"""A clock beside the count of operations: how long attacked images take that open more gates, or fewer."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from robustbench_aig.environment import environment
from robustbench_aig.evaluation.judge import Subject
from robustbench_aig.evaluation.measuring import lacks_memory
from robustbench_aig.gating import gating
from robustbench_aig.models import lean
from robustbench_aig.models.lean.blocks import GatedBlock
from robustbench_aig.randomness import Stream
from robustbench_aig.records import Latency
from robustbench_aig.statistics import median_with_interval

PAIRS = 25
"""The interval of their median leaves out the seven lowest and the seven highest: a machine has other work, too."""

_TURN = 0.01
"""Seconds that a turn takes at least, so that a small network's is more than the jitter of clock and scheduler."""


@dataclass(frozen=True)
class Pictures:
    """Some images twice.

    Attributes:
        ids: (B,) int64.
        clean: (B, C, H, W) float32 in [0, 1].
        attacked: (B, C, H, W), the same images attacked.
    """

    ids: Tensor
    clean: Tensor
    attacked: Tensor


def sparse_copy(model: nn.Module) -> nn.Module | None:
    """A copy that skips closed blocks, fast and in float32; None where `lean` only copies, or there is nothing to skip.

    What is only copied may compute every block whatever its gates say, as adapted networks do.
    """
    copy = lean(model)
    return copy if any(isinstance(module, GatedBlock) for module in copy.modules()) else None


def measure_latency(
    network: nn.Module, subject: Subject, pictures: Pictures, *, seed: int, pairs: int = PAIRS
) -> Latency | None:
    """The time of attacked images over that of their clean versions, in pairs of turns that stand side by side.

    In a pair random gates draw the same numbers for both, and other ones in the next pair; who begins changes from
    pair to pair.

    Args:
        network: a copy of the subject's, by `sparse_copy`.
        subject: under its policy.
        pictures: B images, on the network's device, that go through it at once.
        seed: of the evaluation.
        pairs: how many; at least six.

    Returns:
        None where so many images don't fit into memory.
    """
    turn = _Turn(network, subject, pictures.ids, seed)
    clean: list[float] = []
    attacked: list[float] = []
    turns = [(pictures.clean, clean), (pictures.attacked, attacked)]
    try:
        # The first pass of each allocates and chooses kernels.
        _, clean_takes, _, attacked_takes = (turn.seconds(x, 0, steps=1) for x, _ in turns for _ in range(2))
        steps = math.ceil(_TURN / min(clean_takes, attacked_takes))
        for pair in range(pairs):
            for images, seconds in turns if pair % 2 == 0 else turns[::-1]:
                seconds.append(turn.seconds(images, pair, steps=steps))
    except (RuntimeError, MemoryError) as error:
        if lacks_memory(f"{type(error).__name__}: {error}"):
            return None
        raise
    ratio = median_with_interval([above / below for above, below in zip(attacked, clean, strict=True)])
    where = environment(pictures.clean.device)
    return Latency(
        ratio=ratio.median,
        low=ratio.low,
        high=ratio.high,
        clean_ms_per_image=1000 * median(clean) / len(pictures.ids),
        images=len(pictures.ids),
        pairs=pairs,
        device=where["device"],
        threads=where["threads"],
    )


@dataclass(frozen=True)
class _Turn:
    """Passes of one network over one batch, by the clock."""

    network: nn.Module
    subject: Subject
    ids: Tensor
    seed: int

    @torch.no_grad()
    def seconds(self, images: Tensor, pair: int, *, steps: int) -> float:
        """Of a pass over images (B, C, H, W): the mean over `steps`, of which each draws random gates afresh."""
        device = images.device
        policy = self.subject.deployed(Stream.of(self.ids, self.seed, "latency", pair))
        with gating(self.network, policy, execution="sparse"), torch.autocast(device.type, enabled=False):
            _wait(device)
            started = time.perf_counter()
            for _ in range(steps):
                self.network(images)
            _wait(device)
            return (time.perf_counter() - started) / steps


def _wait(device: torch.device) -> None:
    """Until the device has done all that it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
