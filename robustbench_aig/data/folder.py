"""One split of a folder of image files: measured, decoded when it is used, and kept decoded."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path

import torch
from pydantic import TypeAdapter
from torch import Tensor

from robustbench_aig.data import cache
from robustbench_aig.data.decoding import Sizes, decode, decode_blocks, measure
from robustbench_aig.data.images import ImageSet, Progress
from robustbench_aig.data.listing import Listed
from robustbench_aig.data.stored import Stored, mapping
from robustbench_aig.threat import Shape

_SIZES = TypeAdapter(Sizes)


@dataclass(frozen=True)
class Folder(Listed):
    """One split on disk.

    From `cache.WORTHWHILE` images on its decoded images are kept; a smaller one leaves nothing behind.
    """

    def image_set(self, shape: Shape, progress: Progress | None, *, keep: bool) -> ImageSet:
        """The split as images of one shape (C, H, W), decoded when they are first used, and then kept or not."""
        ids, labels = torch.arange(len(self.labels)), torch.tensor(self.labels, dtype=torch.int64)
        return ImageSet(ids, labels, Undecoded(self, ids, shape, progress, keep), self.names)

    def measure(self) -> Sizes:
        """How often each (H, W) occurs, and whether every image is grey; UnreadableImages names those that can't be."""
        if not self._kept:
            return measure(self.files)
        return cache.remembered(cache.path_of(".json", self._fingerprint), _SIZES, lambda: measure(self.files))

    def mapped(self, shape: Shape, progress: Progress | None, *, make: bool) -> cache.Kept | None:
        """All images (N, C, H, W), mapped from the cache; None where they aren't there and weren't made."""
        if not self._kept:
            return None
        path, whole = self.cached(shape), (len(self.files), *shape)
        found = cache.load_pixels(path, whole)
        if found is not None or not make:
            return found
        reason = self.obstacle(shape)
        if reason is None:
            try:
                return cache.keep_pixels(path, whole, decode_blocks(self.files, shape, progress))
            except OSError as error:
                reason = error.strerror or str(error)
        # It has come up since the data set was loaded, whose notes would have told.
        warnings.warn(cache.unkept(reason), RuntimeWarning, stacklevel=2)
        return None

    def obstacle(self, shape: Shape) -> str | None:
        """Why images of a shape (C, H, W) that ought to be kept, can't be; None where nothing is in the way."""
        if not self._kept:
            return None
        path, whole = self.cached(shape), (len(self.files), *shape)
        return None if cache.load_pixels(path, whole) is not None else cache.obstacle(path, prod(whole))

    def cached(self, shape: Shape) -> Path:
        """The file for images of a shape (C, H, W)."""
        return cache.path_of(".npy", self._fingerprint, shape)

    @property
    def _kept(self) -> bool:
        return len(self.files) >= cache.WORTHWHILE

    @cached_property
    def _fingerprint(self) -> str:
        return cache.fingerprint(self.root, self.files)


@dataclass(frozen=True)
class Undecoded:
    """Images of a split that nobody has asked for yet.

    Attributes:
        folder: the split.
        ids: (N,) int64, positions among its files.
        shape: (C, H, W) to decode to.
        progress: told how many files are read.
        keep: whether nothing was known to be in the way of keeping the split.
    """

    folder: Folder
    ids: Tensor
    shape: Shape
    progress: Progress | None
    keep: bool

    def select(self, index: Tensor) -> Undecoded:
        """Those at positions `index` (M,)."""
        return replace(self, ids=self.ids[index])

    def open(self) -> Stored:
        """Decode them, or map what was decoded before; DataError where a file is no image.

        Whoever wants less than half of a split isn't made to wait for the rest.
        """
        files = self.folder.files
        make = self.keep and 2 * len(self.ids) >= len(files)
        kept = self.folder.mapped(self.shape, self.progress, make=make)
        if kept is not None:
            return mapping(kept.pixels, self.ids, self.folder.cached(self.shape), kept.sums)
        return Stored(decode([files[i] for i in self.ids.tolist()], self.shape, self.progress))
