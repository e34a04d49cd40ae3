"""The cache of decoded images: it never changes a pixel, and notices every change of its folder."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from robustbench_aig.data import ImageSet, cache, decoding, load_data
from robustbench_aig.data.images import Progress, resident
from robustbench_aig.errors import DataError
from tests.data.cached import assert_right, forbid_decoding, load, names, straight
from tests.tiny import write_images


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"AIGROB_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a/decoded"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/aigrob/decoded"),
        ({"HOME": "/c"}, "/c/.cache/aigrob/decoded"),
        ({"AIGROB_CACHE": "~/d", "HOME": "/c"}, "/c/d/decoded"),
    ],
)
def test_the_environment_names_the_folder(
    environment: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AIGROB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache.cache_folder() == Path(folder)


def test_small_splits_leave_no_trace(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIGROB_CACHE", str(tmp_path / "cache"))
    data = load(root)
    assert len(data.train.images) == 22
    assert len(data.test.images) == 6
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("mode", "size"), [("RGB", (8, 8)), ("L", (8, 8)), ("RGB", (5, 9)), ("L", (1, 1))])
@pytest.mark.parametrize("block", [1, 500, 2**20])
def test_kept_images_are_the_decoded_ones(
    mode: str, size: tuple[int, int], block: int, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_BLOCK", block)
    root = write_images(tmp_path / "pets", mode=mode, size=size)
    first, again = load(root), load(root)
    for data in (first, again):
        for images, split in ((data.train, "train"), (data.validation, "train"), (data.test, "test")):
            wanted = straight(root, split, data.shape)[images.ids]
            assert torch.equal(images.images, wanted)
            assert images.images.stride() == wanted.stride()
    assert (first.mean, first.std) == (again.mean, again.std)
    assert len(names(kept)) == 2
    assert np.load(kept / max(names(kept))).shape[1:] == first.shape


def test_mean_and_std_are_the_same_bits_with_and_without(
    root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped = load(root)
    assert mapped.train.stored.mapped
    monkeypatch.setattr(cache, "WORTHWHILE", 10**6)
    decoded = load(root)
    assert not decoded.train.stored.mapped
    assert (mapped.mean, mapped.std) == (decoded.mean, decoded.std)


def test_every_selection_has_its_own_mean(root: Path, kept: Path) -> None:
    data = load(root)
    few = replace(data, train=data.train.limit(5, 0))
    dark = replace(data, train=resident(data.train.images * 0, data.train.labels))
    for _ in range(2):
        assert load(root).mean == data.mean
        assert few.mean == pytest.approx(few.train.batch(slice(None)).double().mean((0, 2, 3)).tolist(), abs=1e-7)
        assert dark.mean == [0.0, 0.0, 0.0]
    assert few.mean != data.mean


def test_the_second_start_opens_no_image(root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(root)
    train, test = first.train.images, first.test.images
    moments = first.mean, first.std
    forbid_decoding(monkeypatch)
    second = load(root)
    with monkeypatch.context() as patch:
        patch.setattr(ImageSet, "raw", None)  # nor reads the pixels
        assert (second.mean, second.std) == moments
    assert second.shape == first.shape
    assert torch.equal(second.train.images, train)
    assert torch.equal(second.test.images, test)


def test_progress_counts_over_all_blocks(root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_BLOCK", 5 * 3 * 8 * 8)
    told: list[tuple[int, int]] = []
    _ = load_data(str(root), seed=0, progress=lambda *numbers: told.append(numbers)).train.images
    assert told == [(5, 24), (10, 24), (15, 24), (20, 24), (24, 24)]


def test_nobody_waits_for_images_he_did_not_ask_for(root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = decoding.decode

    def noting(files: Sequence[str], shape: tuple[int, int, int], progress: Progress | None) -> torch.Tensor:
        asked.extend(files)
        return real(files, shape, progress)

    for module in ("folder", "decoding"):
        monkeypatch.setattr(f"robustbench_aig.data.{module}.decode", noting)
    test = load(root).test
    _ = test.limit(2, 0).images
    assert len(asked) == 2
    assert not names(kept)
    _ = test.limit(3, 0).images
    assert len(asked) == 2 + 6
    assert len(names(kept)) == 1


def change(root: Path) -> None:
    path = root / "train" / "cat" / "3.png"
    Image.new("RGB", (8, 8), (1, 2, 3)).save(path)


def exchange(root: Path, later: int) -> tuple[os.stat_result, os.stat_result]:
    """Other pixels in as many bytes, in a file whose time is so many ns later then; its states before and after."""
    path, other = root / "train" / "cat" / "3.png", root / "train" / "cat" / "4.png"
    size = max(path.stat().st_size, other.stat().st_size)
    path.write_bytes(other.read_bytes().ljust(size, b"\0"))
    load(root).train.images.sum()
    before = path.stat()
    path.write_bytes((root / "train" / "dog" / "1.png").read_bytes().ljust(size, b"\0")[:size])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + later))
    return before, path.stat()


def change_behind_the_size(root: Path) -> None:
    exchange(root, later=1)


def change_behind_the_time(root: Path) -> None:
    """As a careful vandal would."""
    before, after = exchange(root, later=0)
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def add(root: Path) -> None:
    Image.new("RGB", (8, 8)).save(root / "train" / "cat" / "new.png")


def take_away(root: Path) -> None:
    (root / "train" / "dog" / "0.png").unlink()


def swap(root: Path) -> None:
    """The same files under each other's names."""
    one, two = (root / "train" / name / "0.png" for name in ("cat", "dog"))
    one.rename(root / "aside")
    two.rename(one)
    (root / "aside").rename(two)


@pytest.mark.parametrize("edit", [change, change_behind_the_size, change_behind_the_time, add, take_away, swap])
def test_a_changed_folder_is_noticed(edit: Callable[[Path], None], root: Path, kept: Path) -> None:
    assert_right(root)
    edit(root)
    assert_right(root)


def test_a_twin_with_the_same_times_is_another_folder(root: Path, kept: Path, tmp_path: Path) -> None:
    """As two archives are that were packed with one fixed time."""
    other = write_images(tmp_path / "other")
    for name in ("cat", "dog"):
        for path in (other / "train" / name).iterdir():
            Image.new("RGB", (8, 8), (9, 9, 9)).save(path)
    for folder in (root, other):
        for path in folder.rglob("*.png"):
            path.write_bytes(path.read_bytes().ljust(1000, b"\0"))
            os.utime(path, (0, 0))
    assert_right(root)
    assert_right(other)


def test_a_new_size_and_a_new_kind_of_image_are_noticed(root: Path, kept: Path) -> None:
    assert not load(root).notes
    Image.new("RGB", (6, 7)).save(root / "test" / "cat" / "0.png")
    assert "2 sizes" in load(root).notes[0]


def test_another_pillow_decodes_anew(root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _ = load(root).train.images
    monkeypatch.setattr("PIL.__version__", "0.0")
    _ = load(root).train.images
    assert len(names(kept)) == 2


def test_every_shape_has_its_file(root: Path, kept: Path) -> None:
    for side in (4, 8):
        train = load_data(str(root), seed=0, image_size=side).train
        assert torch.equal(train.images, straight(root, "train", (3, side, side))[train.ids])
    assert len(names(kept)) == 2


@pytest.mark.parametrize("flips", [200, pytest.param(1000, marks=pytest.mark.evidence)])
def test_a_flipped_bit_is_noticed_or_without_effect(flips: int, root: Path, kept: Path) -> None:
    """In pixels, checksums, headers, sizes and means alike."""
    before = load(root)
    wanted, moments = before.train.images.clone(), (before.mean, before.std)
    rng, noticed = np.random.default_rng(flips), 0
    paths = [path for path in sorted(kept.iterdir()) if path.suffix in {".npy", ".json"}]
    assert len(paths) == 4
    for number in range(flips):
        path = paths[number % len(paths)]
        sound = path.read_bytes()
        harmed = bytearray(sound)
        harmed[rng.integers(len(sound))] ^= 1 << int(rng.integers(8))
        path.write_bytes(harmed)
        try:
            data = load(root)
            assert torch.equal(data.train.images, wanted)
            assert (data.mean, data.std) == moments
        except DataError as error:
            noticed += f"{path} is damaged: delete it" in str(error)
        path.write_bytes(sound)
    assert noticed > flips / 10
