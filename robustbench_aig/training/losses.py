"""The target-rate loss that teaches gates to stay closed for a share of the images."""

from __future__ import annotations

from typing import Literal

from torch import Tensor


def rate_loss(decisions: Tensor, targets: Tensor, reduction: Literal["mean", "sum"]) -> Tensor:
    """Reduce, over gates, the squared distance of the batch's execution rate from the target.

    Veit and Belongie (arXiv 1711.11503) print it as a sum; their official code computes a mean.
    A gate with target 1 is forced open and left out.

    Args:
        decisions: (B, G), 0 or 1, with the gradient of the relaxed decision.
        targets: (G,) execution rates.
        reduction: over the gates that are not forced open.

    Returns:
        A scalar; 0 where every gate is forced open.
    """
    free = targets < 1
    squares = (targets - decisions.float().mean(0)).square() * free
    total = squares.sum()
    return total / free.sum().clamp_min(1) if reduction == "mean" else total
