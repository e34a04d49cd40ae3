"""A clock beside the count of operations: how long attacked images take that open more gates, or fewer."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robustbench_aig.environment import environment
from robustbench_aig.errors import lacks_memory
from robustbench_aig.evaluation.judge import Subject
from robustbench_aig.gating import gating
from robustbench_aig.medians import median_with_interval
from robustbench_aig.models import fused
from robustbench_aig.models.fused.fused_blocks import GatedBlock
from robustbench_aig.precision import float32
from robustbench_aig.randomness import Stream
from robustbench_aig.records import Clocked, Latency, Pace

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
    """A copy that skips closed blocks, fast and in float32; None where nothing can be skipped, or `fused` only copies.

    What is only copied may compute every block whatever its gates say, as adapted networks do.
    """
    copy = fused(model)
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
    turns = [_Turn(network, subject, pictures.ids, seed, images) for images in (pictures.clean, pictures.attacked)]
    found = _compared(turns[0], turns[1], pairs)
    return found and Latency(clean_ms_per_image=found.below, **found.clocked.model_dump())


class Runner(NamedTuple):
    """A network as it would be deployed: a copy made for inference, of a subject under its policy."""

    network: nn.Module
    subject: Subject


def measure_pace(
    gated: Runner, plain: Runner, ids: Tensor, images: Tensor, *, seed: int, pairs: int = PAIRS
) -> Pace | None:
    """The time of a gated network, which skips closed blocks, over that of a plain one, side by side.

    Args:
        gated: its network by `sparse_copy`.
        plain: what it is compared with.
        ids: (B,) int64.
        images: (B, C, H, W) clean, on the networks' device, that go through both at once.
        seed: of the evaluation.
        pairs: how many; at least six.

    Returns:
        None where so many images don't fit into memory.
    """
    turns = [_Turn(*one, ids, seed, images) for one in (plain, gated)]
    found = _compared(turns[0], turns[1], pairs)
    return found and Pace(
        plain=plain.subject.name,
        ms_per_image=found.above,
        plain_ms_per_image=found.below,
        **found.clocked.model_dump(),
    )


class _Compared(NamedTuple):
    """What a clock says of two kinds of turns: the ratio, and the median milliseconds of an image in each."""

    clocked: Clocked
    below: float
    above: float


def _compared(first: _Turn, second: _Turn, pairs: int) -> _Compared | None:
    """The second over the first; None where memory is short."""
    seconds = _side_by_side(first, second, pairs)
    if seconds is None:
        return None
    ratio = median_with_interval([above / below for below, above in zip(*seconds, strict=True)])
    where, images = environment(first.images.device), len(first.ids)
    clocked = Clocked(
        ratio=ratio.median,
        low=ratio.low,
        high=ratio.high,
        images=images,
        pairs=pairs,
        device=where["device"],
        threads=where["threads"],
    )
    below, above = (1000 * median(each) / images for each in seconds)
    return _Compared(clocked, below, above)


def _side_by_side(first: _Turn, second: _Turn, pairs: int) -> tuple[list[float], list[float]] | None:
    """Seconds of each in every pair; None where memory is short."""
    turns: list[tuple[_Turn, list[float]]] = [(first, []), (second, [])]
    try:
        # The first pass of each allocates and chooses kernels.
        _, first_takes, _, second_takes = (turn.seconds(0, steps=1) for turn in (first, second) for _ in range(2))
        # By the faster of the two, so that both turns are long enough.
        steps = math.ceil(_TURN / min(first_takes, second_takes))
        for pair in range(pairs):
            # Who comes second finds warm caches and a higher clock; by turns it is nobody's advantage.
            for turn, seconds in turns if pair % 2 == 0 else turns[::-1]:
                seconds.append(turn.seconds(pair, steps=steps))
    except (RuntimeError, MemoryError) as error:
        if lacks_memory(error):
            return None
        raise
    return turns[0][1], turns[1][1]


@dataclass(frozen=True)
class _Turn:
    """Passes of one network over one batch, by the clock."""

    network: nn.Module
    subject: Subject
    ids: Tensor
    seed: int
    images: Tensor

    @float32()
    @torch.no_grad()
    def seconds(self, pair: int, *, steps: int) -> float:
        """Of a pass over images (B, C, H, W): the mean over `steps`, of which each draws random gates afresh."""
        device = self.images.device
        policy = self.subject.deployed(Stream.of(self.ids, self.seed, "latency", pair))
        with gating(self.network, policy, execution="sparse"):
            _wait(device)
            started = time.perf_counter()
            for _ in range(steps):
                self.network(self.images)
            _wait(device)
            return (time.perf_counter() - started) / steps


def _wait(device: torch.device) -> None:
    """Until the device has done all that it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
