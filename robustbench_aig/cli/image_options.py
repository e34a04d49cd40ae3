"""The images that networks are measured on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_aig.errors import InputError
from robustbench_aig.records import DataRecord
from robustbench_aig.runs import Trained

if TYPE_CHECKING:
    from robustbench_aig.data import DataSet, ImageSet


def images_of(
    trained: Trained | None,
    *,
    source: str | None,
    limit: int | None,
    images: Path | None = None,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[ImageSet, DataRecord]:
    """The first images of the test split's seeded order, and their description.

    Args:
        trained: as for `data_of`.
        source: as for `data_of`.
        limit: at most so many; None for all.
        images: a list of some, in a text file; None for the first of all.
        seed: of the order.
        progress: told how many images are read.

    Raises:
        InputError: as for `data_of`, or the list names an image that there isn't.
    """
    return tested(data_of(trained, source=source, seed=seed, progress=progress), limit, seed, images)


def data_of(
    trained: Trained | None, *, source: str | None, seed: int, progress: Callable[[int, int], None] | None = None
) -> DataSet:
    """The data set of a network; what of it isn't asked for isn't read.

    Args:
        trained: what a run was trained on; None for a network that no run knows, which needs a `source`.
        source: a data set or folder; None for the run's own.
        seed: of the validation split, where no run knows it.
        progress: told how many images are read.

    Raises:
        InputError: the images have other classes than those that the run was trained on.
    """
    from robustbench_aig.data import KNOWN, load_data  # noqa: PLC0415 - imports torch

    where = source or (trained.source if trained else "")
    if source is None and trained and trained.source not in KNOWN and not Path(where).is_dir():
        raise InputError(f"the images of {trained.name} are not at {where}: name their folder with --data DIR")
    found = load_data(
        where, seed=trained.seed if trained else seed, shape=trained.shape if trained else None, progress=progress
    )
    if trained and list(found.classes) != trained.classes:
        raise InputError(f"{where} has other classes than the data that the network was trained on, {trained.name}")
    return found


def tested(found: DataSet, limit: int | None, seed: int, images: Path | None) -> tuple[ImageSet, DataRecord]:
    """At most so many images of the test split's seeded order, or of those that a list names; their description."""
    from robustbench_aig.data import digest_of, positions_of, read_list  # noqa: PLC0415 - imports torch

    test = found.test
    if images is not None:
        test = test.select(positions_of(read_list(images), test.names, len(test), images))
    test = test.limit(limit, seed)
    return test, DataRecord(
        name=found.name,
        split="test",
        n=len(test),
        available=len(found.test),
        shape=found.shape,
        classes=list(found.classes),
        digest=digest_of(test.images, test.labels),
    )
