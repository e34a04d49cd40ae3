"""The images under evaluation, and the chunks that they are worked through in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """The images under evaluation, in the fixed seeded order that chunks are cut from.

    Attributes:
        pixels: (N, C, H, W) float32 in [0, 1].
        labels: (N,) int64.
        ids: (N,) int64, position in the test split.
        names: N names of their files; none where there are no files, and in a part.
    """

    pixels: Tensor
    labels: Tensor
    ids: Tensor
    names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def chunk(self, number: int, size: int, device: torch.device) -> Images:
        """One unit of work on a device."""
        part = slice(number * size, (number + 1) * size)
        pixels = self.pixels[part].to(device).contiguous(memory_format=torch.channels_last)
        return Images(pixels, self.labels[part].to(device), self.ids[part].to(device))

    def originals(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some of the images by their ids (N,), as (N, C, H, W) on the host."""
        places = {image: place for place, image in enumerate(self.ids.tolist())}
        found = self.pixels[[places[image] for image in ids.tolist()]]
        return np.asarray(found.cpu().numpy(), dtype=np.float32)

    def pick(self, index: Tensor | slice) -> Images:
        """Some of the images, by position."""
        pixels = self.pixels[index].contiguous(memory_format=torch.channels_last)
        return Images(pixels, self.labels[index], self.ids[index])
