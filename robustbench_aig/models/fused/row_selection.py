"""Some images of a batch: taken out and put back as rows of memory."""

from __future__ import annotations

import torch
from torch import Tensor

# The widest number that torch can index, 16 bytes.
_WIDE = torch.complex128


def take(x: Tensor, chosen: Tensor) -> Tensor:
    """The chosen images (b, C, H, W), channels last as `x` (B, C, H, W) is.

    Indexing by `x[chosen]` or `index_select` on `x` itself takes five times as long or changes the layout.
    """
    _, channels, height, width = x.shape
    rows = _rows(x).index_select(0, chosen)
    return rows.view(-1, height, width, channels).permute(0, 3, 1, 2)


def put(x: Tensor, chosen: Tensor, values: Tensor) -> None:
    """Replace the chosen images of `x` (B, C, H, W) by `values` (b, C, H, W), both channels last."""
    into, rows = _rows(x), _rows(values)
    if into.shape[1] * into.element_size() % _WIDE.itemsize == 0:
        # Copying goes number by number, so the widest numbers are copied fastest: six times in bfloat16.
        into, rows = into.view(_WIDE), rows.view(_WIDE)
    into.index_copy_(0, chosen, rows)


def _rows(x: Tensor) -> Tensor:
    """One row per image, of the same memory; RuntimeError if channels aren't last."""
    return x.detach().permute(0, 2, 3, 1).view(len(x), -1)
