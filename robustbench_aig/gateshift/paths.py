"""Paths: which of its blocks a network runs for an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robustbench_aig.gateshift.arrays import Bools, Ints


class Paths(NamedTuple):
    """How many different paths some images take, and the entropy of their distribution over images in bits."""

    distinct: int
    entropy: float


def numbered(decisions: Bools) -> Ints:
    """(N,) a number for every row of decisions (N, G): equal for equal rows."""
    packed = np.packbits(decisions, axis=1)
    return np.asarray(np.unique(packed, axis=0, return_inverse=True)[1], dtype=np.int64).reshape(-1)


def count(numbers: Ints) -> Paths:
    """Of the paths (N,) of images, N >= 1.

    Both grow with the number of images, entropy up to log2 N: compare them on the same images alone.
    """
    share = np.unique(numbers, return_counts=True)[1] / numbers.size
    return Paths(share.size, max(0.0, float(-(share * np.log2(share)).sum())))
