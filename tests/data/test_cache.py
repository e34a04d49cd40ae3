"""The cache of decoded images: it never changes a pixel, never shows half a file, and is never in the way."""

import errno
import os
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from robustbench_aig.data import DataSet, ImageSet, cache, decoding, load_data
from robustbench_aig.data.images import Progress, resident
from robustbench_aig.errors import DataError
from tests.tiny import write_images


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder, where even the smallest split is kept."""
    monkeypatch.setenv("AIGROB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "WORTHWHILE", 1)
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_images(tmp_path / "pets")


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


def change_behind_the_size(root: Path) -> None:
    """Other pixels in as many bytes."""
    path, other = root / "train" / "cat" / "3.png", root / "train" / "cat" / "4.png"
    size = max(path.stat().st_size, other.stat().st_size)
    path.write_bytes(other.read_bytes().ljust(size, b"\0"))
    load(root).train.images.sum()
    before = path.stat()
    path.write_bytes((root / "train" / "dog" / "1.png").read_bytes().ljust(size, b"\0")[:size])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


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


@pytest.mark.parametrize("edit", [change, change_behind_the_size, add, take_away, swap])
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
    assert load(root).shape == (3, 8, 8)
    Image.new("RGB", (6, 7)).save(root / "test" / "cat" / "0.png")
    assert load(root).shape == (3, 6, 6)


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


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-1],
        lambda whole: whole + b"\0",
        lambda whole: whole[:50],
        lambda whole: whole[:0],
        lambda whole: whole.replace(b"|u1", b"|i1"),
        lambda whole: whole.replace(b"(24,", b"(42,"),
    ],
)
def test_damage_is_repaired(damage: Callable[[bytes], bytes], root: Path, kept: Path) -> None:
    _ = load(root).train.images
    (file,) = kept.glob("*.npy")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert_right(root)
    assert file.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"[[[8,", b"[[[8,8,8]],true]", b"\xff", b"{}"])
def test_a_damaged_measurement_is_repaired(content: bytes, root: Path, kept: Path) -> None:
    mean = load(root).mean
    files = list(kept.glob("*.json"))
    assert len(files) == 3
    whole = [file.read_bytes() for file in files]
    for file in files:
        file.write_bytes(content)
    assert load(root).shape == (3, 8, 8)
    assert load(root).mean == mean
    assert [file.read_bytes() for file in files] == whole


def test_half_a_temporary_file_is_written_over(root: Path, kept: Path) -> None:
    _ = load(root).train.images
    (file,) = kept.glob("*.npy")
    half = file.with_name(f".{file.name}.partial")
    half.write_bytes(file.read_bytes()[:1000] + b"rubbish" * 1000)
    file.unlink()
    assert_right(root)
    assert not half.exists()


def test_a_damaged_image_leaves_nothing_behind(root: Path, kept: Path) -> None:
    path = root / "train" / "dog" / "5.png"
    good = path.read_bytes()
    path.write_bytes(good[:60])
    for _ in range(2):  # the second one isn't locked out
        with pytest.raises(DataError, match=r"train/dog/5\.png"):
            _ = load(root).train.images
    assert not names(kept, "[!.]*.npy") | names(kept, "*.partial")
    path.write_bytes(good)
    assert_right(root)


def test_a_file_that_is_gone_is_named(root: Path, kept: Path) -> None:
    (root / "train" / "dog" / "zz.png").symlink_to(root / "nowhere.png")
    with pytest.raises(DataError, match=r"train/dog/zz\.png"):
        load(root)


def test_a_cache_that_cannot_be_made_is_done_without(root: Path, kept: Path) -> None:
    kept.parent.write_text("a file is in the way")
    data = load(root)
    assert "AIGROB_CACHE" in data.notes[0]
    assert str(kept) in data.notes[0]
    assert_right(root)


def test_a_cache_that_may_only_be_read_is_used_as_it_is(
    root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = load(root).train.images
    before = names(kept, "*")
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)
    data = load(root)
    assert "Permission denied" in data.notes[0]  # of the test split
    assert data.train.stored.mapped
    assert not data.test.stored.mapped
    assert_right(root)
    assert names(kept, "*") == before


def test_a_finished_cache_that_may_only_be_read_needs_no_note(
    root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_right(root)
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)
    assert not load(root).notes


def test_a_disk_without_room_is_left_alone(root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load(root)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**9, 10**9 - 100, 100))
    assert "No space left" in load(root).notes[0]
    assert_right(root)
    with pytest.warns(RuntimeWarning, match="No space left"):
        assert torch.equal(before.test.images, straight(root, "test"))
    assert not names(kept)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fills_up_meanwhile_is_reported(
    code: int, root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load(root)
    assert not data.notes

    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.warns(RuntimeWarning, match=os.strerror(code)):
        images = data.train.images
    assert torch.equal(images, straight(root, "train")[data.train.ids])
    assert not names(kept, "*.npy") | names(kept, ".*.partial")


def test_a_system_without_locks_does_without(root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    data = load(root)
    with pytest.warns(RuntimeWarning, match="locks"):
        assert torch.equal(data.test.images, straight(root, "test"))


WRITER = """
import runpy, sys, time
from pathlib import Path
import numpy as np
cache = runpy.run_path(sys.argv[1])
path, begun = Path(sys.argv[2]), Path(sys.argv[3])

def blocks():
    for number in range(10):
        yield np.full((10, 3, 4, 4), number, np.uint8)
        begun.with_name(f"{begun.name} {number}").touch()
        time.sleep(float(sys.argv[4]))

print(cache["keep_pixels"](path, (100, 3, 4, 4), blocks())[:, 0, 0, 0].tolist() == [i // 10 for i in range(100)])
"""
"""Another process, which writes a hundred images in ten blocks; without the package, it starts in a moment."""


def writer(path: Path, begun: Path, seconds: float) -> subprocess.Popen[str]:
    arguments = [cache.__file__, str(path), str(begun), str(seconds)]
    return subprocess.Popen([sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, text=True)


def test_two_processes_make_one_file(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "images.npy"
    processes = [writer(path, tmp_path / f"block of {number}:", 0.05) for number in range(2)]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == ["True", "True"]
    assert len(list(tmp_path.glob("block of *"))) == 10


def test_a_killed_process_is_in_nobody_s_way(tmp_path: Path) -> None:
    path, begun = tmp_path / "cache" / "images.npy", tmp_path / "block"
    process = writer(path, begun, 30)
    while not list(tmp_path.glob("block *")):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not path.exists()
    assert path.with_name(".images.npy.partial").exists()
    wanted = np.arange(4 * 3 * 2 * 2, dtype=np.uint8).reshape(4, 3, 2, 2)
    made = cache.keep_pixels(path, wanted.shape, [wanted[:1], wanted[1:]])
    assert made is not None
    assert np.array_equal(made, wanted)
    assert not path.with_name(".images.npy.partial").exists()
