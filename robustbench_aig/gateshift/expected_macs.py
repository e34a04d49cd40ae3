"""Compute by probabilities, not by what some draws happened to run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robustbench_aig.gateshift.arrays import Floats


def expected_macs(p: Floats, blocks: Sequence[int], total: int) -> Floats:
    """(N,) multiply-accumulates that sampled gates are expected to execute: what always runs, and Σ p · block.

    The same expectation as that of the MACs counted over draws, with less noise.

    Args:
        p: (N, G) open probabilities.
        blocks: (G,) what each gate can skip.
        total: of the network with all gates open.
    """
    costs = np.asarray(blocks, dtype=np.float64)
    return np.asarray(total - costs.sum() + p @ costs, dtype=np.float64)
