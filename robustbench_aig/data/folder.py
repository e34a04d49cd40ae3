"""A folder of image files: `train/CLASS/*.png` and `test/CLASS/*.png`, any format that Pillow reads."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from robustbench_aig.data.images import ImageSet, Progress
from robustbench_aig.errors import DataError

_GREY = {"1", "L", "LA"}
_DEEP = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
_DENIED = "cannot read {}: permission denied; give yourself the right to read it"
_CHUNK = 64
T = TypeVar("T")


@dataclass(frozen=True)
class Folder:
    """One split on disk.

    Attributes:
        root: the split's folder.
        classes: sorted names of its class folders.
        files: all image files, sorted by class and then by path.
        labels: the class index of each.
    """

    root: Path
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    labels: tuple[int, ...]

    def image_set(self, shape: tuple[int, int, int], progress: Progress | None) -> ImageSet:
        """The split as images of one shape (C, H, W), decoded when they are first used."""
        labels = torch.tensor(self.labels, dtype=torch.int64)

        def read(ids: Tensor) -> Tensor:
            return decode([self.files[i] for i in ids.tolist()], shape, progress)

        return ImageSet(torch.arange(len(labels)), labels, read)


def scan(root: Path, split: str) -> Folder:
    """List one split; DataError where it is missing, empty or unreadable."""
    folder = root / split
    if not folder.is_dir():
        raise DataError(f"{root} has no folder {split}/: expected train/CLASS/*.png and test/CLASS/*.png")
    try:
        names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except PermissionError:
        raise DataError(_DENIED.format(folder)) from None
    for name in names:
        # os.walk, which lists the files, keeps silent about folders that it may not enter.
        if not os.access(folder / name, os.R_OK | os.X_OK):
            raise DataError(_DENIED.format(folder / name))
    index = {name: i for i, name in enumerate(names)}
    found = make_dataset(str(folder), index, extensions=IMG_EXTENSIONS, allow_empty=True) if index else []
    kept = [(path, label) for path, label in ((Path(p), n) for p, n in found) if path.name[0] != "."]
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


def measure(files: Sequence[Path]) -> tuple[set[tuple[int, int]], bool]:
    """All (H, W) that occur, and whether every image is grey; reads the headers alone."""

    def header(path: Path) -> tuple[tuple[int, int], bool]:
        with Image.open(path) as image:
            if image.mode in _DEEP:
                raise ValueError(f"{image.mode} pixels are deeper than 8 bits: convert it to 8-bit grey or RGB")
            return (image.height, image.width), image.mode in _GREY

    headers = _each(files, header, None)
    return {size for size, _ in headers}, all(grey for _, grey in headers)


def decode(files: Sequence[Path], shape: tuple[int, int, int], progress: Progress | None) -> Tensor:
    """Read images as (N, C, H, W) uint8; other sizes are scaled to cover (H, W) and cropped to its centre."""
    channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"

    def pixels(path: Path) -> NDArray[np.uint8]:
        with Image.open(path) as image:
            # A palette with transparency warns unless it goes through RGBA.
            whole = image.convert("RGBA") if "transparency" in image.info else image
            fitted = _fit(whole.convert(mode), height, width)
            return np.asarray(fitted, dtype=np.uint8).reshape(height, width, channels)

    stacked = np.stack(_each(files, pixels, progress))
    # A copy, because one channel makes any strides count as contiguous, and strides choose the convolution's kernel.
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)


def _fit(image: Image.Image, height: int, width: int) -> Image.Image:
    if image.size == (width, height):
        return image
    scale = max(height / image.height, width / image.width)
    larger = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    left, top = (larger[0] - width) // 2, (larger[1] - height) // 2
    resized = image.resize(larger, Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + width, top + height))


def _each(files: Sequence[Path], work: Callable[[Path], T], progress: Progress | None) -> list[T]:
    """`work` on every file, on several threads; a failure names its file."""

    def one(path: Path) -> T:
        try:
            return work(path)
        except PermissionError:
            raise DataError(_DENIED.format(path)) from None
        except _UNREADABLE as error:
            reason = "not an image" if isinstance(error, UnidentifiedImageError) else str(error)
            raise DataError(f"cannot read image {path}: {reason}; repair or remove it") from None

    def several(start: int) -> list[T]:
        return [one(path) for path in files[start : start + _CHUNK]]

    done: list[T] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in pool.map(several, range(0, len(files), _CHUNK)):
            done += part
            if progress is not None:
                progress(len(done), len(files))
    return done
