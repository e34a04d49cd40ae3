"""Decisions of gates, clean against attacked."""

from __future__ import annotations

import numpy as np

from robustbench_aig.gateshift.arrays import Bools, Floats


def flipped(before: Bools, after: Bools) -> Bools:
    """(N, G) whether a gate decides otherwise.

    Both of random gates have to be made with the same noise: two draws of one image differ, too, in Σ 2p(1 - p) gates.
    The mean over gates and images is the "different layer rate" of Tao et al. (arXiv 2210.08159).
    """
    return before ^ after


def overlap(before: Bools, after: Bools) -> Floats:
    """(N,) Jaccard index |both run| / |either runs| of the blocks that run; 1 where none does in either.

    Source: P. Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 1912.
    """
    either = (before | after).sum(axis=1)
    return np.where(either == 0, 1.0, (before & after).sum(axis=1) / np.maximum(either, 1))
