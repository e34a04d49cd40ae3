"""Where the pixels of a set are: in the memory of a device, or in a file that is mapped into the address space."""

from __future__ import annotations

import sys
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_aig.errors import DataError


class Source(Protocol):
    """Images that may not be read yet."""

    def select(self, index: Tensor) -> Source:
        """Those at positions `index` (M,)."""

    def open(self) -> Stored:
        """Read them, if that is yet to be done."""


@dataclass(frozen=True)
class Checksums:
    """What shows whether a mapped file is still what was written. Each image is compared once in a process.

    Attributes:
        file: that is mapped.
        wanted: (M,) uint32, the CRC-32 of each of its images.
        seen: (M,) which have been compared.
    """

    file: Path
    wanted: NDArray[np.uint32]
    seen: NDArray[np.bool_]

    def compare(self, rows: NDArray[np.int64], images: NDArray[np.uint8]) -> None:
        """DataError where one of the images (B, C, H, W), which stand in rows (B,) of the file, was changed."""
        for place in np.flatnonzero(~self.seen[rows]):
            if zlib.crc32(images[place]) != self.wanted[rows[place]]:
                raise DataError(f"{self.file} is damaged: delete it, and the images are decoded again")
        self.seen[rows] = True


@dataclass(frozen=True)
class Stored:
    """Images in a store, and which of them are meant.

    Attributes:
        store: (M, C, H, W) uint8 in [0, 255] or float32 in [0, 1]; shared by many, so never written to.
        rows: (N,) int64, positions in the store and on its device; None for all of them in order.
        file: that the store is mapped from, named after all that decides its content; None for a store in memory.
        sums: of that file.
    """

    store: Tensor
    rows: Tensor | None = None
    file: Path | None = None
    sums: Checksums | None = None

    def __len__(self) -> int:
        return len(self.store if self.rows is None else self.rows)

    @property
    def mapped(self) -> bool:
        """Whether images come from a file on the host, by way of the page cache."""
        return self.file is not None

    @property
    def nbytes(self) -> int:
        """Size of the images that are meant, in bytes."""
        return len(self) * self.store[:1].nbytes

    def select(self, index: Tensor) -> Stored:
        """The images at positions `index` (M,); no pixel is touched."""
        here = index.to(self.store.device)
        return replace(self, rows=here if self.rows is None else self.rows[here])

    def open(self) -> Stored:
        """They are read."""
        return self

    def in_memory_of(self, device: torch.device) -> bool:
        """Whether they can be computed with where they are."""
        return not self.mapped and self.store.device == device

    def take(self, index: Tensor | slice) -> Tensor:
        """Images (B, C, H, W) in the memory of the store's device."""
        if self.mapped:
            return self.gather(index, pinned=False)
        return self.store[index if self.rows is None else self.rows[index]]

    def gather(self, index: Tensor | slice, *, pinned: bool) -> Tensor:
        """Images (B, C, H, W) of a store on the host, in memory that a CUDA device can copy from if it's pinned.

        Raises:
            DataError: they come from a file that was changed.
        """
        rows = torch.arange(len(self.store)) if self.rows is None else self.rows
        chosen = rows[index.cpu() if isinstance(index, Tensor) else index]
        shape = (len(chosen), *self.store.shape[1:])
        images = torch.empty(shape, dtype=self.store.dtype, pin_memory=pinned)
        # NumPy, because PyTorch would start a team of threads for whichever thread calls. "clip" spares a buffer,
        # it has nothing to clip.
        np.take(self.store.numpy(), chosen.numpy(), axis=0, out=images.numpy(), mode="clip")
        if self.sums is not None:
            self.sums.compare(chosen.numpy(), images.numpy())
        return images

    def copy_to(self, device: torch.device) -> Stored:
        """The images that are meant, in the memory of a device; in steps, so that the host never holds them all."""
        shape = (len(self), *self.store.shape[1:])
        store = torch.empty(shape, dtype=self.store.dtype, device=device)
        step = images_of(2**27, self.store)
        for start in range(0, len(self), step):
            store[start : start + step] = self.take(slice(start, start + step))
        return Stored(store)


def mapping(pixels: NDArray[np.uint8], rows: Tensor, file: Path, sums: NDArray[np.uint32]) -> Stored:
    """Those at positions `rows` (N,) of images (M, C, H, W) mapped read-only from a file, with each CRC-32."""
    with warnings.catch_warnings():
        # Nobody writes to a store. A private mapping, which may be written to, would count as memory in use.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return Stored(torch.from_numpy(pixels), rows, file, Checksums(file, sums, np.zeros(len(sums), np.bool_)))


def images_of(size: int, store: Tensor) -> int:
    """How many images of a store (M, C, H, W) take so many bytes; at least one."""
    return max(1, size // store[:1].nbytes)


def room_on(device: torch.device) -> int:
    """Bytes of pixels that may be copied to a device: half of what is free on CUDA, none on the host.

    On the host a mapped file is as good as memory. What other devices have left nobody tells.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return 0 if device.type == "cpu" else sys.maxsize
