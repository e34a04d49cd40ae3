"""The learning rate over a training."""

from __future__ import annotations


def triangular(step: int, steps: int, peak: float) -> float:
    """Factor on the learning rate at a step: linear from 0 to 1 at `peak`, then linear to 0.

    It's taken at the middle of each step, so that neither the first nor the last step is wasted on a rate of 0.

    Args:
        step: from 0.
        steps: of the whole training.
        peak: share of the training before the highest rate, between 0 and 1.
    """
    position = (step + 0.5) / steps
    return min(position / peak, (1 - position) / (1 - peak))
