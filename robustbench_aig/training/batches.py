"""From a split of images to the batches of an epoch; all that is random derives from seed, epoch and image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_aig.data import ImageSet
from robustbench_aig.data.images import as_float
from robustbench_aig.distributed import World
from robustbench_aig.randomness import Stream, seed_of
from robustbench_aig.recipes import Augment
from robustbench_aig.training.augment import augment


@dataclass(frozen=True)
class Batch:
    """What a step learns from; this process's part of it.

    Attributes:
        x: (B, C, H, W) in [0, 1], augmented.
        labels: (B,) int64.
        gates: (B,) random streams of the gates' noise.
        attack: (B,) random streams of the inner attack.
    """

    x: Tensor
    labels: Tensor
    gates: Stream
    attack: Stream


@dataclass(frozen=True)
class Batches:
    """How a split is cut into batches.

    Attributes:
        images: the training split, on the device of the training.
        size: of a batch, over all processes.
        settings: of the augmentation.
        seed: of order, augmentation and noise.
        world: the processes that share each batch.
    """

    images: ImageSet
    size: int
    settings: Augment
    seed: int
    world: World

    @property
    def per_epoch(self) -> int:
        """Steps; the rest of an epoch that is smaller than a batch is dropped, because batch-norm dislikes it."""
        return len(self.images) // self.size

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """This process's parts of the batches of an epoch, from the batch `first` on; both count from 0."""
        images = self.images
        # On the CPU, so that the order is the same on every device.
        shuffle = torch.Generator().manual_seed(seed_of(self.seed, "order", epoch))
        order = torch.randperm(len(images), generator=shuffle)
        if images.resident:
            order = order.to(images.labels.device)  # once, so that no step waits
        parts = torch.split(order[: self.per_epoch * self.size], self.size)[first:]
        indices = [self.world.share(part) for part in parts]
        with closing(images.stream(indices)) as stream:
            for index, raw in zip(indices, stream, strict=True):
                yield self._batch(raw, index.to(images.labels.device, non_blocking=True), epoch)

    def _batch(self, raw: Tensor, index: Tensor, epoch: int) -> Batch:
        """Images (B, C, H, W) as they are stored, at the positions `index` (B,) of the split, to a batch."""
        ids, seed = self.images.ids[index], self.seed
        x = augment(raw, self.settings, Stream.of(ids, seed, "augmentation", epoch))
        return Batch(
            x=as_float(x).contiguous(memory_format=torch.channels_last),
            labels=self.images.labels[index],
            gates=Stream.of(ids, seed, "training gates", epoch),
            attack=Stream.of(ids, seed, "training attack", epoch),
        )
