"""Published data sets as torchvision keeps them: CIFAR-10 and -100 (Krizhevsky 2009), SVHN (Netzer et al. 2011).

CIFAR's files are pickles. They are read only where their MD5 is the published one, and by a reader that makes arrays,
lists, texts and numbers, and calls nothing else that a file may name.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import CIFAR10, CIFAR100, SVHN
from torchvision.datasets.utils import check_integrity, download_and_extract_archive

from robustbench_aig.errors import DataError


class Split(NamedTuple):
    """Images (N, C, H, W) uint8, labels (N,) int64, and the files' names, CLASS/NAME; none where nobody named them."""

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]


class Published(NamedTuple):
    """A data set: its classes, and what is learned from and measured on."""

    classes: tuple[str, ...]
    train: Split
    test: Split


def read_published(name: str, root: Path, *, download: bool) -> Published:
    """Read a data set.

    Args:
        name: one of `PUBLISHED`.
        root: the folder that torchvision calls its root.
        download: fetch what isn't there.

    Raises:
        DataError: it isn't there, is damaged, or cannot be downloaded.
    """
    return PUBLISHED[name](root, download)


def _cifar10(root: Path, download: bool) -> Published:
    return _cifar("CIFAR-10", CIFAR10, "labels", root, download=download)


def _cifar100(root: Path, download: bool) -> Published:
    return _cifar("CIFAR-100", CIFAR100, "fine_labels", root, download=download)


def _svhn(root: Path, download: bool) -> Published:
    try:
        splits = [SVHN(root, split=split) for split in ("train", "test")]
    except RuntimeError:
        if not download:
            raise _missing("SVHN", root) from None
        with _downloading("SVHN", root):
            splits = [SVHN(root, split=split, download=True) for split in ("train", "test")]
    # A copy, because torchvision's is a view with turned strides, and strides choose the convolution's kernel.
    train, test = (
        Split(torch.from_numpy(split.data.copy()), torch.from_numpy(split.labels).to(torch.int64), ())
        for split in splits
    )
    return Published(tuple(map(str, range(10))), train, test)


PUBLISHED: Mapping[str, Callable[[Path, bool], Published]] = {
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "svhn": _svhn,
}


def _cifar(title: str, kind: type[CIFAR10], labels: str, root: Path, *, download: bool) -> Published:
    """Either CIFAR.

    Args:
        title: for messages.
        kind: torchvision's class, which knows names and sums of the files.
        labels: key of the labels in a file.
        root: holds the folder that the archive unpacks into.
        download: fetch it where files are missing or damaged.
    """
    folder = root / kind.base_folder
    files = dict([*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])])
    if not _whole(folder, files):
        if not download:
            raise _missing(title, root)
        with _downloading(title, root):
            download_and_extract_archive(kind.url, str(root), filename=kind.filename, md5=kind.tgz_md5)
        if not _whole(folder, files):
            raise DataError(f"{title} in {root} is damaged although it was downloaded: remove {folder} and try again")
    classes = tuple(_read(folder / kind.meta["filename"])[kind.meta["key"]])
    train, test = (
        _split([_read(folder / name) for name, _ in listed], labels, classes)
        for listed in (kind.train_list, kind.test_list)
    )
    return Published(classes, train, test)


def _whole(folder: Path, files: Mapping[str, str]) -> bool:
    return all(check_integrity(str(folder / name), md5) for name, md5 in files.items())


def _split(batches: list[dict[str, Any]], key: str, classes: tuple[str, ...]) -> Split:
    """The batches of a split after each other."""
    pixels = np.concatenate([np.asarray(batch["data"], dtype=np.uint8) for batch in batches]).reshape(-1, 3, 32, 32)
    labels = list(chain.from_iterable(batch[key] for batch in batches))
    files = chain.from_iterable(batch["filenames"] for batch in batches)
    names = tuple(f"{classes[label]}/{file}" for label, file in zip(labels, files, strict=True))
    return Split(torch.from_numpy(pixels), torch.tensor(labels, dtype=torch.int64), names)


class _Arrays(pickle.Unpickler):
    """Makes what CIFAR's files hold; whatever else a pickle names is refused, never imported."""

    _ALLOWED: Mapping[tuple[str, str], object] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:  # noqa: ANN401 - the method's own signature
        """One of the three things that an array is made of."""
        found = self._ALLOWED.get((module_name, global_name))
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")
        return found


def _read(path: Path) -> dict[str, Any]:
    """A file of CIFAR, which Python 2 wrote."""
    try:
        with path.open("rb") as stream:
            content: dict[str, Any] = _Arrays(stream, encoding="latin1").load()
    except (pickle.UnpicklingError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}): remove it and add --download") from None
    return content


def _missing(title: str, root: Path) -> DataError:
    return DataError(
        f"no {title} in {root}, or not all of it: add --download, or point AIGROB_DATA at a folder that holds it"
    )


@contextlib.contextmanager
def _downloading(title: str, root: Path) -> Iterator[None]:
    """Where torchvision reports on stdout, which belongs to the command's own result, and may fail in its own ways."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (OSError, RuntimeError) as error:
        raise DataError(f"{title} cannot be downloaded to {root}: {error}; point AIGROB_DATA at a copy of it") from None
