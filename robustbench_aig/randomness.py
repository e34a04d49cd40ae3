"""Random numbers that belong to an image, whatever its chunk, batch, process, device or order.

A counter-based generator: number i of a stream is a hash of (key, i), so any part of a stream can be had at
once, in any order, on any device, with the same bits. The hash is the output function of SplitMix64 (Steele, Lea
and Flood, OOPSLA 2014): one 64-bit key per image, counters spaced by the golden-ratio constant.
"""

from __future__ import annotations

import hashlib
import math
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# SplitMix64's constants (Steele, Lea and Flood), as the signed integers that torch's int64 takes.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MIX1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX2 = 0x94D049BB133111EB - 2**64


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any mixture of words and numbers, the same on every machine."""
    # A separator that no word contains: ("a b", 1) and ("a", "b 1") must not share a seed.
    text = "\x1f".join(str(part) for part in parts)
    # 63 bits, because torch's generators take a signed seed.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seeded global generators inside, for code that isn't ours; they and the trace function are as before after it."""
    tracer, python, numpy = sys.gettrace(), random.getstate(), np.random.get_state()
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        random.seed(seed)
        # NumPy's old generator takes no more than 32 bits.
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            sys.settrace(tracer)
            random.setstate(python)
            np.random.set_state(numpy)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift: torch's shift of int64 drags the sign along."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _MIX1
    x = (x ^ _shift(x, 27)) * _MIX2
    return x ^ _shift(x, 31)


@dataclass(frozen=True)
class Stream:
    """One stream of random numbers for each image of a batch.

    Attributes:
        keys: (B,) int64, one key per image.
        ids: (B,) int64, the images themselves; None where nobody said.
    """

    keys: Tensor
    ids: Tensor | None = None

    @classmethod
    def of(cls, ids: Tensor, *purpose: object) -> Stream:
        """Streams for the images `ids` (B,) int64 and a purpose: (seed, "attack noise", attack, threat, …)."""
        # + 1, because 0 is a fixed point of the mixing: image 0 would have no noise of its own.
        return cls(_mix(_mix(ids.to(torch.int64) * _GOLDEN + 1) + seed_of(*purpose)), ids)

    def child(self, number: int) -> Stream:
        """An independent stream per image, numbered: a step, a draw, a gate."""
        return Stream(_mix(self.keys ^ _mix(torch.full_like(self.keys, number + 1) * _GOLDEN)), self.ids)

    def __getitem__(self, index: Tensor | slice) -> Stream:
        """The streams of some of the images."""
        return Stream(self.keys[index], None if self.ids is None else self.ids[index])

    def uniform(self, *shape: int) -> Tensor:
        """(B, *shape) float32, uniform on the open interval (0, 1): multiples of 2^-24 shifted by half a step."""
        count = math.prod(shape)
        counters = torch.arange(1, count + 1, device=self.keys.device) * _GOLDEN
        bits = _mix(self.keys[:, None] + counters[None, :])
        # 23 bits leave room for the half step in float32's 24, so neither 0 nor 1 can be drawn.
        return ((_shift(bits, 41).to(torch.float32) + 0.5) * 2.0**-23).view(-1, *shape)

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape) float32, standard normal, at most 5.3 in absolute value."""
        return (2 * self.uniform(*shape) - 1).erfinv() * 2**0.5

    def logistic(self) -> Tensor:
        """(B,) draws from the standard logistic distribution: the difference of two Gumbel draws."""
        u = self.uniform(1)[:, 0]
        return u.log() - (-u).log1p()
