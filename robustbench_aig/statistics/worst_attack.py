"""Which of several attacks is worst for an image: the rule of every per-image union."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def worst_of(score: NDArray[np.float64], margin: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N,) which of A evaluations is worst for each of N images: the lowest score, and of equals the lowest margin.

    Choosing on the scoring draws would report the smallest of several noisy scores, which lies below every one
    of their means (the winner's curse).

    Args:
        score: (A, N) share of right answers, on the draws kept for choosing.
        margin: (A, N) margins on the same draws.
    """
    worst = np.where(score == score.min(axis=0), margin, np.inf)
    return np.asarray(worst.argmin(axis=0), dtype=np.int64)
