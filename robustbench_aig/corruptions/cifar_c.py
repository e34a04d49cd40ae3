"""Corrupted test sets as they are published: CIFAR-10-C (Hendrycks and Dietterich, arXiv 1903.12261)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_aig.corruptions.names import SEVERITIES, Corruption
from robustbench_aig.errors import DataError
from robustbench_aig.files import sha256_of

_LABELS = "labels"


@dataclass(frozen=True)
class CorruptedFiles:
    """A folder with one file per kind, like `gaussian_noise.npy`, and `labels.npy`.

    A file holds uint8 (5 · N, H, W, C): the N test images under severity 1, the same under severity 2, and so on, in
    the order of the clean test set.

    Attributes:
        folder: where they are.
    """

    folder: Path

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The kinds that are there, sorted, with hyphens as ours.

        Raises:
            DataError: there are none.
        """
        found = sorted(path.stem.replace("_", "-") for path in self.folder.glob("*.npy") if path.stem != _LABELS)
        if not found or not self._path(_LABELS).is_file():
            raise DataError(f"{self.folder} must hold labels.npy and files like gaussian_noise.npy, as CIFAR-10-C does")
        return tuple(found)

    def check(self, labels: Tensor, ids: Tensor, available: int) -> None:
        """Whether the files are of the test images at hand.

        Args:
            labels: (B,) of those images.
            ids: (B,) their positions in the test split.
            available: images in the split.

        Raises:
            DataError: they have another number of images, or these have other labels there.
        """
        stored = self._read(_LABELS)
        if len(stored) != len(SEVERITIES) * available:
            raise DataError(
                f"{self.folder} has labels of {len(stored)} images, which isn't five severities of the {available} of "
                "this test split"
            )
        if not np.array_equal(stored[ids.cpu().numpy()], labels.cpu().numpy()):
            raise DataError(f"{self.folder} holds other images than this test split, or in another order")

    def images(self, corruption: Corruption, ids: Tensor) -> Tensor:
        """Corrupted images (B, C, H, W) float32 in [0, 1], on the device of `ids`; no more is read of the file.

        Args:
            corruption: one of `names`.
            ids: (B,) int64 positions in the test split.

        Raises:
            DataError: the file is missing, or not what it must be.
        """
        stored = self._read(corruption.name.replace("-", "_"))
        if stored.ndim != 4 or stored.dtype != np.uint8 or len(stored) != len(self._read(_LABELS)):
            raise DataError(
                f"{corruption.name} in {self.folder} must be uint8 (5 · N, H, W, C) with an image for each label, not "
                f"{stored.dtype} {stored.shape}"
            )
        before = (corruption.severity - 1) * (len(stored) // len(SEVERITIES))
        pixels = torch.from_numpy(stored[before + ids.cpu().numpy()])
        return pixels.to(ids.device).permute(0, 3, 1, 2).float() / 255

    def digest(self, name: str) -> str:
        """SHA-256 of the file of one kind."""
        return sha256_of(self._path(name.replace("-", "_")))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def _read(self, name: str) -> NDArray[np.generic]:
        try:
            stored: NDArray[np.generic] = np.load(self._path(name), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{self._path(name)} cannot be read: {error}") from None
        return stored
