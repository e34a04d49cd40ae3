"""Which image files a folder holds: in `train/CLASS/*` and `test/CLASS/*`, or in `CLASS/*` alone."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from robustbench_aig.data.decoding import DENIED, one_line
from robustbench_aig.errors import DataError
from robustbench_aig.files import unsayable

ENDINGS = (".jpg", ".jpeg", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
"""Of files that are taken for images, in either case."""
_TEST = ("test", "val", "valid", "validation")
"""Folders that can hold the test split; the first that is there does."""
_SHARE = 5
"""Where there is one split alone, one image of so many is a test image."""


@dataclass(frozen=True)
class Listed:
    """The image files of one split.

    Attributes:
        root: the folder that holds the class folders.
        classes: sorted names of the class folders.
        files: paths of all images, sorted by class and then by path; text, because a million `Path`s take seconds.
        labels: the class index of each.
    """

    root: Path
    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the files below the split's folder, CLASS/FILE, whatever separates folders on this system."""
        start = len(str(self.root)) + 1
        return tuple(path[start:].replace(os.sep, "/") for path in self.files)

    def those(self, chosen: Sequence[bool]) -> Listed:
        """Some of the images."""
        kept = [pair for pair, take in zip(zip(self.files, self.labels, strict=True), chosen, strict=True) if take]
        return Listed(self.root, self.classes, tuple(path for path, _ in kept), tuple(label for _, label in kept))


@dataclass
class _Search:
    """What comes to light on the way.

    Attributes:
        problems: each of which is to be mended.
        others: endings of files that aren't taken for images, and how many have them.
        unread: class folders of which not everything could be read.
    """

    problems: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    unread: set[Path] = field(default_factory=set)

    def split(self, folder: Path, names: Sequence[str], above: frozenset[_Place] = frozenset()) -> Listed:
        """The images in the class folders of a split."""
        files: list[str] = []
        labels: list[int] = []
        for label, name in enumerate(names):
            try:
                found = list(self._images(folder, name, above | {_place(str(folder))}))
            except PermissionError as error:
                self.problems.append(DENIED.format(error.filename))
                self.unread.add(folder / name)
                continue
            files += found
            labels += [label] * len(found)
        return Listed(folder, tuple(names), tuple(files), tuple(labels))

    def _images(self, split: Path, name: str, above: frozenset[_Place]) -> Iterator[str]:
        """The paths of a class, sorted."""
        if not self._sayable(name, split):
            self.unread.add(split / name)
            return
        for path, names in sorted(_walk(str(split / name), above)):
            for file in sorted(names):
                ending = os.path.splitext(file)[1].lower()  # noqa: PTH122 - text, see `Listed.files`
                if ending not in ENDINGS:
                    self.others[ending or "no ending"] += 1
                elif self._sayable(file, path):
                    yield f"{path}{os.sep}{file}"

    def _sayable(self, name: str, folder: Path | str) -> bool:
        """Whether a name can stand in a report and on a terminal."""
        wrong = unsayable(name)
        if wrong:
            self.problems.append(f"the name {name!a} in {folder} {wrong}: rename it")
        return not wrong


def _walk(folder: str, above: frozenset[_Place]) -> Iterator[tuple[str, list[str]]]:
    """Every folder below one and its files. What is hidden, no file, or a link to a folder above adds nothing."""
    here = _place(folder)
    if here in above:
        return
    names, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            kind = None if entry.name.startswith(".") else _kind(entry)
            if kind is _Kind.FOLDER:
                folders.append(entry.path)
            elif kind is _Kind.FILE:
                names.append(entry.name)
    yield folder, names
    for path in folders:
        yield from _walk(path, above | {here})


_Place = tuple[int, int]
"""Device and number of a folder, whatever path leads to it."""


def _place(folder: str) -> _Place:
    found = os.stat(folder)  # noqa: PTH116 - text, see `Listed.files`
    return found.st_dev, found.st_ino


class _Kind(Enum):
    FOLDER = "folder"
    FILE = "file"


def _kind(entry: os.DirEntry[str]) -> _Kind | None:
    """What an entry is, or what it links to; None for what is neither, such as a FIFO or a link to itself.

    A link to nothing counts as a file: an image that is missing, which whoever reads it will say.
    """
    try:
        if entry.is_dir():
            return _Kind.FOLDER
        found = entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))  # noqa: PTH110 - text
    except OSError:  # a link to itself
        return None
    return _Kind.FILE if found else None


def list_folder(root: Path) -> tuple[Listed, Listed, tuple[str, ...]]:
    """The train and the test split of a folder, and what its owner should know.

    Raises:
        DataError: names all that is wrong with it: a split is missing, a class has no images, there is one class
            only, test has a class that train lacks, a folder can't be read, a name isn't UTF-8.
    """
    search = _Search()
    names = _folders(root)
    held = [name for name in _TEST if name in names]
    if "train" in names and held:
        train, test, notes = _two_splits(root, held, search)
    elif "train" in names or held:
        lacking, there = ("test/ (or val/)", "train/") if "train" in names else ("train/", f"{held[0]}/")
        raise DataError(f"{root} has {there}, but no folder {lacking}: expected train/CLASS/*.png and test/CLASS/*.png")
    elif names:
        train, test, notes = _one_split(root, names, search)
    else:
        raise DataError(f"{root} has no folders: expected train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png")
    if search.problems:
        raise DataError(one_line(search.problems, str(root)))
    if search.others:
        listed = ", ".join(f"{count} with {ending}" for ending, count in sorted(search.others.items()))
        notes += (f"files that are no images are left out: {listed}",)
    return train, test, notes


def _two_splits(root: Path, held: Sequence[str], search: _Search) -> tuple[Listed, Listed, tuple[str, ...]]:
    above = frozenset({_place(str(root))})
    train, test = (search.split(folder, _folders(folder), above) for folder in (root / "train", root / held[0]))
    search.problems += [*_of_train(train, search.unread), *_of_test(train, test, search.unread)]
    label_of = {name: label for label, name in enumerate(train.classes)}
    labels = tuple(label_of.get(test.classes[label], -1) for label in test.labels)
    notes = [] if held[0] == "test" else [f"{held[0]}/ is taken for the test split"]
    notes += [f"{name}/ isn't used: validation images are cut from train/" for name in held[1:]]
    return train, Listed(test.root, train.classes, test.files, labels), tuple(notes)


def _of_train(train: Listed, unread: set[Path]) -> list[str]:
    if not (train.files or unread):
        return [_no_images(train.root)]
    present = set(train.labels)
    empty = [name for label, name in enumerate(train.classes) if label not in present]
    found = [
        f"no images in {train.root / name}: add some or remove the class"
        for name in empty
        if train.root / name not in unread
    ]
    if len(train.classes) == 1:
        found.append(f"{train.root} has only one class, '{train.classes[0]}': at least two are needed")
    return found


def _of_test(train: Listed, test: Listed, unread: set[Path]) -> list[str]:
    if not (test.files or unread):
        return [_no_images(test.root)]
    return [
        f"class '{name}' is in {test.root} but not in {train.root}: add it or remove it"
        for name in test.classes
        if name not in train.classes and test.root / name not in unread
    ]


def _no_images(split: Path) -> str:
    return f"no images in {split}: put them in one folder per class ({', '.join(ENDINGS)})"


def _one_split(root: Path, names: Sequence[str], search: _Search) -> tuple[Listed, Listed, tuple[str, ...]]:
    """Cut a fifth of each class off for tests, by the names of the files.

    No seed has a say, so that an image that one training learned from is never a test image of another one; and files
    that are added move few of the others.
    """
    whole = search.split(root, names)
    search.problems += _of_train(whole, search.unread)
    by_class: dict[int, list[int]] = defaultdict(list)
    for place, label in enumerate(whole.labels):
        by_class[label].append(place)
    start = len(str(root)) + 1
    tested = set()
    for label, places in by_class.items():
        if len(places) == 1:
            search.problems.append(f"one image alone in {root / whole.classes[label]}: add another one to test with")
        drawn = sorted(places, key=lambda place: _digest(whole.files[place][start:]))
        tested |= set(drawn[: -(-len(drawn) // _SHARE)])
    chosen = [place in tested for place in range(len(whole.files))]
    note = (
        f"there is no train/ and no test/: {len(tested)} of {len(chosen)} images are for tests, a fifth of each class"
    )
    return whole.those([not test for test in chosen]), whole.those(chosen), (note,)


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.replace(os.sep, "/").encode()).digest()


def _folders(root: Path) -> list[str]:
    """Sorted names of the folders in one, without hidden ones; DataError where it can't be read."""
    try:
        with os.scandir(root) as entries:
            return sorted(e.name for e in entries if not e.name.startswith(".") and _kind(e) is _Kind.FOLDER)
    except PermissionError:
        raise DataError(DENIED.format(root)) from None
