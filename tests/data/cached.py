"""Images that were read by way of the cache, and without."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from robustbench_aig.data import DataSet, decoding, load_data


def load(root: Path) -> DataSet:
    return load_data(str(root), seed=0)


def straight(root: Path, split: str, shape: tuple[int, int, int] = (3, 8, 8)) -> torch.Tensor:
    """All images of a split, decoded with no cache in between."""
    return decoding.decode([str(path) for path in sorted((root / split).rglob("*.png"))], shape, None)


def assert_right(root: Path) -> None:
    data = load(root)
    for images, split in ((data.train, "train"), (data.validation, "train"), (data.test, "test")):
        assert torch.equal(images.images, straight(root, split)[images.ids])


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("an image file was opened")

    monkeypatch.setattr(Image, "open", refused)


def names(folder: Path, pattern: str = "[!.]*.npy") -> set[str]:
    return {path.name for path in folder.glob(pattern)}
