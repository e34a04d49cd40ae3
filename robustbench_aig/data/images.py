"""A split of a data set, its pixels read only when they are asked for, and the data set made of three of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from robustbench_aig.errors import DataError
from robustbench_aig.randomness import seed_of

Progress = Callable[[int, int], None]
"""Told now and then how many images of how many are read."""

Reader = Callable[[Tensor], Tensor]
"""From positions (N,) in a split's fixed order to its images (N, C, H, W)."""


@dataclass(frozen=True)
class ImageSet:
    """Some images of a split, in some order.

    Attributes:
        ids: (N,) int64, positions in the split's fixed sorted order: the same image has the same id whatever the
            seed, the limit or the order.
        labels: (N,) int64.
        read: gives the pixels of ids, as uint8 in [0, 255] or float32 in [0, 1].
    """

    ids: Tensor
    labels: Tensor
    read: Reader

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def images(self) -> Tensor:
        """(N, C, H, W) uint8 or float32; read on first use and kept."""
        return self.read(self.ids)

    def batch(self, index: Tensor | slice) -> Tensor:
        """Images (B, C, H, W) as float32 in [0, 1]."""
        return as_float(self.raw(index))

    def raw(self, index: Tensor | slice) -> Tensor:
        """Images (B, C, H, W) as they are stored."""
        return self.images[index]

    def select(self, index: Tensor) -> ImageSet:
        """The images at positions `index` (M,) of this set; only these will be read."""
        if "images" not in self.__dict__:
            return ImageSet(self.ids[index], self.labels[index], self.read)
        return resident(self.images[index], self.labels[index], self.ids[index])

    def limit(self, n: int | None, seed: int) -> ImageSet:
        """The first `n` images of an order fixed by the seed; all of them, in that order, where `n` is None."""
        generator = torch.Generator().manual_seed(seed_of(seed, "order of the images"))
        return self.select(torch.randperm(len(self), generator=generator)[:n])

    def to(self, device: torch.device) -> ImageSet:
        """The same set with pixels, labels and ids on a device."""
        return resident(self.images.to(device), self.labels.to(device), self.ids.to(device))


def resident(images: Tensor, labels: Tensor, ids: Tensor | None = None) -> ImageSet:
    """A set whose pixels (N, C, H, W) are in memory already; ids count from 0 unless given."""
    known = torch.arange(len(labels)) if ids is None else ids
    made = ImageSet(known, labels, lambda wanted: images[wanted])
    made.__dict__["images"] = images
    return made


def as_float(images: Tensor) -> Tensor:
    """Pixels as float32 in [0, 1]: uint8 divided by 255, float32 as it is."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


@dataclass(frozen=True)
class DataSet:
    """Three splits of one data set. The test split's pixels are read when they are first used.

    Attributes:
        name: short, for names of runs and reports.
        source: what `load_data` takes to find the same images again.
        shape: (C, H, W) of every image.
        classes: names, in the order of the labels.
        train: what is learned from; ids count over training and validation images together.
        validation: cut from the training images by seed; what choices may look at.
        test: what is measured at the end.
        notes: what was done to the images that their owner should know.
    """

    name: str
    source: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    notes: tuple[str, ...] = ()

    @property
    def mean(self) -> list[float]:
        """Of the training images, per channel in [0, 1]."""
        return self._moments[0]

    @property
    def std(self) -> list[float]:
        """Standard deviation of the training images' pixels, per channel in [0, 1]."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[list[float], list[float]]:
        images = self.train.images
        scale = 255 if images.dtype == torch.uint8 else 1
        total = torch.zeros(self.shape[0], dtype=torch.float64)
        squares = torch.zeros_like(total)
        # Sums of small integers (or sixteenths) are exact in float64, so no order of adding changes the result.
        for chunk in torch.split(images, 1000):
            pixels = chunk.double()
            total += pixels.sum((0, 2, 3))
            squares += pixels.square().sum((0, 2, 3))
        count = images[:, 0].numel()
        mean = total / count
        std = (squares / count - mean.square()).clamp_min(0).sqrt()
        # A constant channel must not divide by zero.
        std = torch.where(std > 0, std / scale, 1.0)
        return (mean / scale).tolist(), std.tolist()


def cut_validation(images: ImageSet, seed: int, share: float = 0.1, at_most: int = 2500) -> tuple[ImageSet, ImageSet]:
    """Cut a validation split from the training images, every class in its proportion.

    Args:
        images: all training images.
        seed: decides which images are cut.
        share: of the images.
        at_most: so many.

    Returns:
        What is left for training, and the validation split; both in the order of their ids.

    Raises:
        DataError: fewer than ten images.
    """
    if len(images) < 10:
        raise DataError(f"{len(images)} training images are too few: at least 10 are needed")
    generator = torch.Generator().manual_seed(seed_of(seed, "validation split"))
    shuffled = torch.randperm(len(images), generator=generator)
    by_class = shuffled[images.labels[shuffled].argsort(stable=True)]
    count = max(1, min(round(share * len(images)), at_most))
    # Evenly spaced through an order sorted by class: every class gives its share, give or take one image.
    chosen = torch.zeros(len(images), dtype=torch.bool)
    chosen[by_class[(torch.arange(count) * len(images) + len(images) // 2) // count]] = True
    return images.select((~chosen).nonzero()[:, 0]), images.select(chosen.nonzero()[:, 0])


def digest_of(images: Tensor, labels: Tensor) -> str:
    """SHA-256 over type, shape and bytes of images (N, C, H, W) and over labels (N,)."""
    sha = hashlib.sha256()
    for tensor in (images, labels.to(torch.int64)):
        sha.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()
