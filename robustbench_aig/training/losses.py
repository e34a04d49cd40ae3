"""The losses of a training beside the cross-entropy."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from robustbench_aig.distributed import World


def rate_loss(
    decisions: Tensor, targets: Tensor, reduction: Literal["mean", "sum"], world: World | None = None
) -> Tensor:
    """Reduce, over gates, the squared distance of the batch's execution rate from the target.

    Veit and Belongie (arXiv 1711.11503) print it as a sum; their official code computes a mean, and of each device's
    part of the batch. Here the rate is that of the whole batch: with processes r = 1 … W it is z = mean of z_r, and
    each process returns (t - z)² with the gradient 2 (z - t) of its own z_r alone, the mean of which over processes,
    as data-parallel training takes it, is exactly the gradient of the whole.

    Args:
        decisions: (B, G), 0 or 1, with the gradient of the relaxed decision; this process's part of the batch.
        targets: (G,) execution rates; a gate with target 1 is forced open and left out.
        reduction: over the gates that are not forced open.
        world: the processes that share the batch equally; None for one.

    Returns:
        A scalar; 0 where every gate is forced open.
    """
    rates = decisions.to(targets.dtype).mean(0)
    if world is not None and world.size > 1:
        rates = rates + (world.mean(rates) - rates).detach()
    free = targets < 1
    total = ((targets - rates).square() * free).sum()
    return total / free.sum().clamp_min(1) if reduction == "mean" else total


def divergence(attacked: Tensor, clean: Tensor) -> Tensor:
    """KL(clean || attacked), mean over images: what TRADES adds to the loss (arXiv 1901.08573, equation 3).

    Args:
        attacked: (B, classes) logits.
        clean: the same for the clean images.
    """
    return F.kl_div(attacked.log_softmax(1), clean.log_softmax(1), reduction="batchmean", log_target=True)
