"""A folder of image files: `train/CLASS/*.png` and `test/CLASS/*.png`, any format that Pillow reads."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path

import torch
from pydantic import TypeAdapter
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from robustbench_aig.data import cache
from robustbench_aig.data.decoding import DENIED, decode, decode_blocks, measure
from robustbench_aig.data.images import ImageSet, Progress
from robustbench_aig.data.stored import Stored, mapping
from robustbench_aig.errors import DataError
from robustbench_aig.threat import Shape

_MEASURED = TypeAdapter(tuple[set[tuple[int, int]], bool])


@dataclass(frozen=True)
class Folder:
    """One split on disk.

    From `cache.WORTHWHILE` images on its decoded images are kept; a smaller one leaves nothing behind.

    Attributes:
        root: the split's folder.
        classes: sorted names of its class folders.
        files: paths of all images, sorted by class and then by path; text, because a million `Path`s take seconds.
        labels: the class index of each.
    """

    root: Path
    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: tuple[int, ...]

    def image_set(self, shape: Shape, progress: Progress | None, *, keep: bool) -> ImageSet:
        """The split as images of one shape (C, H, W), decoded when they are first used, and then kept or not."""
        ids, labels = torch.arange(len(self.labels)), torch.tensor(self.labels, dtype=torch.int64)
        return ImageSet(ids, labels, Undecoded(self, ids, shape, progress, keep), self.names)

    def measure(self) -> tuple[set[tuple[int, int]], bool]:
        """All (H, W) that occur, and whether every image is grey."""
        if not self._kept:
            return measure(self.files)
        return cache.remembered(cache.path_of(".json", self._fingerprint), _MEASURED, lambda: measure(self.files))

    def mapped(self, shape: Shape, progress: Progress | None, *, make: bool) -> cache.Pixels | None:
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
    def names(self) -> tuple[str, ...]:
        """Of the files below the split's folder, CLASS/FILE, whatever separates folders on this system."""
        start = len(str(self.root)) + 1
        return tuple(path[start:].replace(os.sep, "/") for path in self.files)

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
        pixels = self.folder.mapped(self.shape, self.progress, make=make)
        if pixels is not None:
            return mapping(pixels, self.ids, self.folder.cached(self.shape))
        return Stored(decode([files[i] for i in self.ids.tolist()], self.shape, self.progress))


def scan(root: Path, split: str) -> Folder:
    """List one split; DataError where it is missing, empty or unreadable."""
    folder = root / split
    if not folder.is_dir():
        raise DataError(f"{root} has no folder {split}/: expected train/CLASS/*.png and test/CLASS/*.png")
    try:
        names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except PermissionError:
        raise DataError(DENIED.format(folder)) from None
    for name in names:
        # os.walk, which lists the files, keeps silent about folders that it may not enter.
        if not os.access(folder / name, os.R_OK | os.X_OK):
            raise DataError(DENIED.format(folder / name))
    index = {name: i for i, name in enumerate(names)}
    found = make_dataset(str(folder), index, extensions=IMG_EXTENSIONS, allow_empty=True) if index else []
    kept = [(path, label) for path, label in found if not path.rpartition(os.sep)[2].startswith(".")]
    if not kept:
        raise DataError(f"no images in {folder}: put them in one folder per class ({', '.join(IMG_EXTENSIONS)})")
    return Folder(folder, tuple(names), tuple(p for p, _ in kept), tuple(label for _, label in kept))


def scan_pair(root: Path) -> tuple[Folder, Folder]:
    """List the train and the test split and hold them against each other.

    Raises:
        DataError: one class only, a class without images, a class in test that train lacks.
    """
    train, test = scan(root, "train"), scan(root, "test")
    present = set(train.labels)
    empty = [name for i, name in enumerate(train.classes) if i not in present]
    if empty:
        raise DataError(f"no images in {train.root / empty[0]}: add some or remove the class")
    if len(train.classes) < 2:
        raise DataError(f"{train.root} has only one class, '{train.classes[0]}': at least two are needed")
    foreign = [name for name in test.classes if name not in train.classes]
    if foreign:
        raise DataError(f"class '{foreign[0]}' is in {test.root} but not in {train.root}: add it or remove it")
    labels = tuple(train.classes.index(test.classes[label]) for label in test.labels)
    return train, Folder(test.root, train.classes, test.files, labels)
