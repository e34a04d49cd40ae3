"""Two executions of one gated block with equal results."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def add_gated(skip: Tensor, residual: Callable[[Tensor], Tensor], x: Tensor, z: Tensor, *, sparse: bool) -> Tensor:
    """`skip` + z · residual(x).

    Dense computes the block for every image and multiplies: for training, and for gradients that reach the gate
    of a closed block. Sparse runs the block on the images with z != 0 alone, which is what makes skipping save
    time; a closed gate then gets no gradient.

    Args:
        skip: (B, C', H', W'), the shortcut's output.
        residual: the block, from (b, C, H, W) to (b, C', H', W') for any b, image by image.
        x: (B, C, H, W), the block's input.
        z: (B,), decisions in [0, 1].
        sparse: which execution.
    """
    if not sparse:
        return skip + z.view(-1, 1, 1, 1) * residual(x)
    chosen = z.detach().nonzero()[:, 0]
    if len(chosen) == 0:
        return skip
    return skip.index_add(0, chosen, z[chosen].view(-1, 1, 1, 1) * residual(x[chosen]))
