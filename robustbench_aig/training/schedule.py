"""The learning rate over a training."""

from __future__ import annotations

from robustbench_aig.recipes import Schedule, Steps


def factor(schedule: Schedule, step: int, steps: int, epoch: int) -> float:
    """What the recipe's learning rate is multiplied by.

    Args:
        schedule: of the recipe.
        step: from 0, since the first epoch's first.
        steps: of the whole training.
        epoch: from 0.
    """
    if isinstance(schedule, Steps):
        return float(schedule.factor ** sum(epoch + 1 >= start for start in schedule.at))
    return triangular(step, steps, schedule.peak)


def triangular(step: int, steps: int, peak: float) -> float:
    """Linear from 0 to 1 at `peak`, a share of the training, then linear to 0.

    It's taken at the middle of each step, so that neither the first nor the last step is wasted on a rate of 0.
    """
    position = (step + 0.5) / steps
    return min(position / peak, (1 - position) / (1 - peak))
