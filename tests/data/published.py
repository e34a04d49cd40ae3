"""Small files of the published data sets, in the form that their authors wrote them in."""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy.io import savemat
from torchvision.datasets import CIFAR10, CIFAR100, SVHN


class Python2(pickle._Pickler):
    """Writes text and bytes as Python 2 did, whose pickles CIFAR's files are."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    write: Callable[[bytes], None]
    memoize: Callable[[object], None]

    def save_text(self, value: str | bytes) -> None:
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_text


def write_pickle(path: Path, content: object) -> str:
    """Its MD5."""
    with path.open("wb") as stream:
        Python2(stream, protocol=2).dump(content)
    # NumPy has renamed the module since.
    written = path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path.write_bytes(written)
    return hashlib.md5(written, usedforsecurity=False).hexdigest()


def write_cifar(root: Path, kind: type[CIFAR10], patch: pytest.MonkeyPatch, each: int = 2) -> dict[str, Any]:
    """Files of `each` images for every class; their sums take the places of the published ones.

    Returns:
        "train" and "test": pixels (N, 3, 32, 32), labels (N,) and file names.
    """
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    fine = kind is CIFAR100
    classes = [f"class{n}" for n in range(100 if fine else 10)]
    rng, made, sums = np.random.default_rng(0), dict[str, Any](), dict[str, str]()
    for split, listed in (("train", kind.train_list), ("test", kind.test_list)):
        parts = []
        for name, _ in listed:
            labels = rng.permutation(np.repeat(np.arange(len(classes)), each)).tolist()
            data = rng.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
            names = [f"{name}_s_{n:06d}.png" for n in range(len(labels))]
            key = "fine_labels" if fine else "labels"
            sums[name] = write_pickle(folder / name, {"data": data, key: labels, "filenames": names})
            parts.append((data.reshape(-1, 3, 32, 32), labels, names))
        pixels, *others = zip(*parts, strict=True)
        made[split] = (np.concatenate(pixels), *(list(chain.from_iterable(other)) for other in others))
    meta = write_pickle(folder / kind.meta["filename"], {kind.meta["key"]: classes})
    patch.setattr(kind, "train_list", [[name, sums[name]] for name, _ in kind.train_list])
    patch.setattr(kind, "test_list", [[name, sums[name]] for name, _ in kind.test_list])
    patch.setattr(kind, "meta", {**kind.meta, "md5": meta})
    return made


def write_svhn(root: Path, patch: pytest.MonkeyPatch, count: int = 30) -> dict[str, Any]:
    """The same for SVHN, whose files count 0 as 10."""
    rng, made, listed = np.random.default_rng(0), dict[str, Any](), dict(SVHN.split_list)
    for split in ("train", "test"):
        pixels = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
        labels = np.arange(count) % 10
        path = root / f"{split}_32x32.mat"
        savemat(path, {"X": pixels.transpose(2, 3, 1, 0), "y": np.where(labels == 0, 10, labels)[:, None].astype("u1")})
        url, name, _ = listed[split]
        listed[split] = [url, name, hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()]
        made[split] = (pixels, labels.tolist(), [])
    patch.setattr(SVHN, "split_list", listed)
    return made
