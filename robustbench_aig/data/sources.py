"""`load_data`: from the name of a data set, or the path of a folder, to its three splits.

What needs torchvision is imported when it is needed: that takes a second and a half, and the digits do without.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from robustbench_aig.data.cache import unkept
from robustbench_aig.data.images import DataSet, ImageSet, Progress, cut_validation, resident
from robustbench_aig.errors import DataError, did_you_mean
from robustbench_aig.files import unsayable
from robustbench_aig.threat import Shape

if TYPE_CHECKING:
    from robustbench_aig.data.decoding import Sizes
    from robustbench_aig.data.folder import Folder

KNOWN = ("cifar10", "cifar100", "svhn", "digits")
LARGEST_DEFAULT = 64
_SMALLEST_DEFAULT = 8
_FEW = 0.05
"""Share of the images that may be smaller than the side that all are scaled to."""


def load_data(
    source: str,
    *,
    seed: int,
    image_size: int | None = None,
    shape: Shape | None = None,
    root: Path | None = None,
    download: bool = False,
    progress: Progress | None = None,
) -> DataSet:
    """Load a data set and split off validation images.

    Images of a folder are decoded when they are first used. A split of 2,000 or more is then kept in `cache_folder()`,
    from where the next start maps it without opening an image, and training reads it even if it's larger than memory.

    Args:
        source: `digits`, `cifar10`, `cifar100`, `svhn`, or a folder with `train/CLASS/*` and `test/CLASS/*`, or
            as `docs/image-folders.md` says.
        seed: decides which training images become the validation split; the test split never depends on it.
        image_size: side of the square that images are scaled and cropped to. Without it images of one size stay
            as they are. A folder of mixed sizes takes the smaller side that 95 % of them have, 8 to 64 pixels.
        shape: (C, H, W) that a trained network expects, instead of `image_size`; spares measuring a folder.
        root: where torchvision's sets live; default `$AIGROB_DATA`, else `~/.cache/aigrob`.
        download: fetch a torchvision set that is not there.
        progress: told how many files of a folder are read.

    Raises:
        DataError: unknown name, or images that are missing, damaged or contradictory; one line with the way out.
    """
    if shape is not None and shape[1] == shape[2]:
        image_size = shape[1]
    if source not in KNOWN:
        return _folder(_existing(source), seed, image_size, shape, progress)
    if source == "digits":
        classes, train, test = _digits()
    else:
        from robustbench_aig.data.published import read_published  # noqa: PLC0415 - see above

        found = read_published(source, root or _default_root(), download=download)
        classes = found.classes
        train, test = (resident(split.images, split.labels, names=split.names) for split in (found.train, found.test))
    if image_size is not None:
        train, test = _resized(train, image_size), _resized(test, image_size)
    left, validation = cut_validation(train, seed)
    c, h, w = train.images.shape[1:]
    beside = Path(source).is_dir()
    notes = (f"this is the published data set; the folder of that name here is ./{source}",) if beside else ()
    return DataSet(source, source, (c, h, w), classes, left, validation, test, notes)


def _digits() -> tuple[tuple[str, ...], ImageSet, ImageSet]:
    """The 1,797 grey 8×8 digits that come with scikit-learn (a part of UCI's optdigits, CC BY 4.0).

    Every fifth image of each class is a test image.
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415 - the digits alone need it, and it takes a second

    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16
    labels = torch.from_numpy(bunch.target).to(torch.int64)
    test = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(10):
        test[(labels == label).nonzero()[::5, 0]] = True
    classes = tuple(str(name) for name in bunch.target_names)
    return classes, resident(images[~test], labels[~test]), resident(images[test], labels[test])


def _default_root() -> Path:
    named = os.environ.get("AIGROB_DATA")
    return Path(named) if named else Path.home() / ".cache" / "aigrob"


def _resized(images: ImageSet, side: int) -> ImageSet:
    if images.images.shape[2:] == (side, side):
        return images
    from torchvision.transforms.v2.functional import resize  # noqa: PLC0415 - see above

    scaled = resize(images.images, [side, side], antialias=True)
    # A weighted mean of ones can round to more than one.
    boxed = scaled.clamp(0, 1) if scaled.is_floating_point() else scaled
    return resident(boxed, images.labels, images.ids, images.names)


def _existing(source: str) -> Path:
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise DataError(f"{source} is a file: --data takes {', '.join(KNOWN)} or a folder with train/ and test/")
    if "/" in source:
        raise DataError(f"no folder {source}: --data takes {', '.join(KNOWN)} or a folder with train/ and test/")
    raise DataError(
        f"unknown data set '{source}', {did_you_mean(source, KNOWN)} (or give a folder with train/ and test/)"
    )


def _folder(root: Path, seed: int, image_size: int | None, shape: Shape | None, progress: Progress | None) -> DataSet:
    from robustbench_aig.data.folder import Folder  # noqa: PLC0415 - see above
    from robustbench_aig.data.listing import list_folder  # noqa: PLC0415 - see above

    path = root.resolve()
    wrong = unsayable(str(path))
    if wrong:
        raise DataError(f"the name of the folder {str(path)!a} {wrong}: rename it")
    *listed, notes = list_folder(root)
    train_files, test_files = (Folder(split.root, split.classes, split.files, split.labels) for split in listed)
    if shape is None:
        shape, changed = _common_shape(train_files, test_files, image_size)
        notes += changed
    obstacle = train_files.obstacle(shape) or test_files.obstacle(shape)
    if obstacle:
        notes += (unkept(obstacle),)
    images = train_files.image_set(shape, progress, keep=not obstacle)
    train, validation = cut_validation(images, seed)
    test = test_files.image_set(shape, progress, keep=not obstacle)
    return DataSet(path.name, str(path), shape, train_files.classes, train, validation, test, notes)


def _common_shape(train: Folder, test: Folder, image_size: int | None) -> tuple[Shape, tuple[str, ...]]:
    """The shape (C, H, W) that all images will have, and a note where some had to be changed."""
    measured = _measured(train, test)
    sizes: Counter[tuple[int, int]] = Counter()
    for height, width, count in (each for split in measured for each in split.counts):
        sizes[height, width] += count
    channels = 1 if all(split.grey for split in measured) else 3
    if image_size is None and len(sizes) == 1:
        return (channels, *next(iter(sizes))), ()
    side = image_size or min(LARGEST_DEFAULT, _small_side(sizes))
    if set(sizes) == {(side, side)}:
        return (channels, side, side), ()
    what = f"images of {len(sizes)} sizes were" if len(sizes) > 1 else "images were"
    note = f"{what} scaled and cropped to {side}×{side} pixels"
    advice = "" if image_size else "; choose another side with --image-size"
    return (channels, side, side), (note + advice,)


def _measured(*splits: Folder) -> list[Sizes]:
    """The sizes in all splits; DataError names every image that can't be read."""
    from robustbench_aig.data.decoding import UnreadableImages  # noqa: PLC0415 - see above

    found: list[Sizes] = []
    problems: list[str] = []
    for split in splits:
        try:
            found.append(split.measure())
        except UnreadableImages as error:
            problems += error.problems
    if problems:
        raise UnreadableImages(problems)
    return found


def _small_side(sizes: Mapping[tuple[int, int], int]) -> int:
    """The smaller side that all but a few of the images have at least: a thumbnail must not shrink the set."""
    few, below = _FEW * sum(sizes.values()), 0
    for side, count in sorted((min(size), count) for size, count in sizes.items()):
        below += count
        if below > few:
            return max(side, _SMALLEST_DEFAULT)
    raise AssertionError
