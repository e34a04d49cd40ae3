"""A split of a data set, its pixels read only when they are asked for, and the data set made of three of them."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import torch
from pydantic import TypeAdapter
from torch import Tensor

from robustbench_aig.data.cache import path_of, remembered
from robustbench_aig.data.stored import Source, Stored, images_of, room_on
from robustbench_aig.errors import DataError
from robustbench_aig.randomness import seed_of
from robustbench_aig.threat import Shape

Progress = Callable[[int, int], None]
"""Told now and then how many images of how many are read."""

Moments = tuple[list[float], list[float]]
"""Mean and standard deviation per channel in [0, 1]."""

_MOMENTS = TypeAdapter(Moments)
_AHEAD = 2
"""Batches that are prepared while one is worked on."""


@dataclass(frozen=True)
class ImageSet:
    """Some images of a split, in some order.

    Selecting, limiting and cutting copy no pixels. A set that was mapped from a file stays there: it may be larger
    than memory.

    Attributes:
        ids: (N,) int64, positions in the split's fixed sorted order: the same image has the same id whatever the
            seed, the limit or the order.
        labels: (N,) int64, on the device that batches go to.
        source: of the pixels.
        names: of the split's files by id, CLASS/FILE; none where there are no files.
    """

    ids: Tensor
    labels: Tensor
    source: Source
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def file_names(self) -> list[str]:
        """Of these images, in their order; none where there are no files."""
        return [self.names[image] for image in self.ids.tolist()] if self.names else []

    @cached_property
    def stored(self) -> Stored:
        """Where the pixels are; read on first use."""
        return self.source.open()

    @cached_property
    def images(self) -> Tensor:
        """(N, C, H, W) uint8 or float32, all of them in memory; gathered on first use and kept."""
        return self.raw(slice(None))

    @property
    def resident(self) -> bool:
        """Whether the pixels are in the memory of the set's device; otherwise `stream` is quicker than `raw`."""
        return self.stored.in_memory_of(self.labels.device)

    def batch(self, index: Tensor | slice) -> Tensor:
        """Images (B, C, H, W) as float32 in [0, 1]."""
        return as_float(self.raw(index))

    def raw(self, index: Tensor | slice) -> Tensor:
        """Images (B, C, H, W) as they are stored, on the set's device."""
        return self._sent(self._gathered(index))

    def stream(self, indices: Iterable[Tensor]) -> Generator[Tensor, None, None]:
        """`raw` of every index in order; a thread gathers the next two batches where the set isn't resident.

        Args:
            indices: each (B,) int64. They should be on the CPU, or the device is waited for where pixels are not on
                it. They are drawn from as batches are begun, two before they are handed out.

        What fails in the thread is raised here. The thread ends with the generator: close one that isn't exhausted.
        """
        if self.resident:
            yield from map(self.raw, indices)
            return
        begun: deque[Future[Tensor]] = deque()
        with ThreadPoolExecutor(1, "images") as thread:
            try:
                for index in indices:
                    begun.append(thread.submit(self._gathered, index))
                    if len(begun) > _AHEAD:
                        yield self._sent(begun.popleft().result())
                while begun:
                    yield self._sent(begun.popleft().result())
            finally:
                for batch in begun:
                    batch.cancel()

    def _gathered(self, index: Tensor | slice) -> Tensor:
        """Images (B, C, H, W) where they can be sent from without waiting."""
        return self.stored.take(index) if self.resident else self.stored.gather(index, pinned=self.labels.is_cuda)

    def _sent(self, images: Tensor) -> Tensor:
        return images.to(self.labels.device, non_blocking=True)

    def select(self, index: Tensor) -> ImageSet:
        """The images at positions `index` (M,) of this set; of what isn't read yet, only these will be."""
        source: Source = self.__dict__.get("stored", self.source)
        return ImageSet(self.ids[index], self.labels[index], source.select(index), self.names)

    def limit(self, n: int | None, seed: int) -> ImageSet:
        """The first `n` images of an order fixed by the seed; all of them, in that order, where `n` is None."""
        generator = torch.Generator().manual_seed(seed_of(seed, "order of the images"))
        return self.select(torch.randperm(len(self), generator=generator)[:n])

    def to(self, device: torch.device, budget: int | None = None) -> ImageSet:
        """The same set with labels and ids on a device, and the pixels, too, if they fit.

        Pixels on the host that take more than `budget` bytes stay there, and batches are sent when they are asked
        for. By default they may take half of the free memory of a CUDA device; for the host a mapped file isn't
        copied at all.
        """
        labels, ids, stored = self.labels.to(device), self.ids.to(device), self.stored
        if not stored.in_memory_of(labels.device):
            room = room_on(labels.device) if budget is None else budget
            if stored.nbytes <= room or stored.store.device.type != "cpu":
                stored = stored.copy_to(labels.device)
        return ImageSet(ids, labels, stored, self.names)


def resident(images: Tensor, labels: Tensor, ids: Tensor | None = None, names: tuple[str, ...] = ()) -> ImageSet:
    """A set whose pixels (N, C, H, W) are in memory already; ids count from 0 unless given."""
    return ImageSet(torch.arange(len(labels)) if ids is None else ids, labels, Stored(images), names)


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
    shape: Shape
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
    def _moments(self) -> Moments:
        stored = self.train.stored
        if stored.file is None or stored.rows is None:
            return self._measured_moments()
        chosen = hashlib.sha256(stored.rows.numpy().tobytes()).hexdigest()
        return remembered(path_of(".json", stored.file.name, chosen), _MOMENTS, self._measured_moments)

    def _measured_moments(self) -> Moments:
        store = self.train.stored.store
        scale = 255 if store.dtype == torch.uint8 else 1
        total = torch.zeros(self.shape[0], dtype=torch.float64)
        squares, count = torch.zeros_like(total), 0
        # Sums of small integers (or sixteenths) are exact in float64, so no order of adding changes the result.
        step = min(1000, images_of(2**24, store)) if scale == 255 else 1000
        for start in range(0, len(self.train), step):
            pixels = self.train.raw(slice(start, start + step)).double()
            total += pixels.sum((0, 2, 3))
            squares += pixels.square().sum((0, 2, 3))
            count += pixels[:, 0].numel()
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
