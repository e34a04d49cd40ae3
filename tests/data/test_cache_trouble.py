"""The cache on disks that are damaged, full or locked, and among several processes."""

import errno
import os
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from robustbench_aig.data import cache
from robustbench_aig.errors import DataError
from tests.data.cached import assert_right, load, names, straight
from tests.leftovers import half_written


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


@pytest.mark.parametrize("content", [b"", b"[[[8,", b"[[[8,8]],true]", b"\xff", b"{}"])
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


def test_half_a_temporary_file_is_removed(root: Path, kept: Path) -> None:
    _ = load(root).train.images
    (file,) = kept.glob("*.npy")
    half = half_written(file, file.read_bytes()[:1000] + b"rubbish" * 1000)
    other = half_written(file.with_name("another.npy"), b"of a process that writes another file now")
    file.unlink()
    assert_right(root)
    assert not half.exists()
    assert other.exists()


def test_a_damaged_image_leaves_nothing_behind(root: Path, kept: Path) -> None:
    path = root / "train" / "dog" / "5.png"
    good = path.read_bytes()
    path.write_bytes(good[:60])
    for _ in range(2):  # the second one isn't locked out
        with pytest.raises(DataError, match=r"train/dog/5\.png"):
            _ = load(root).train.images
    assert not names(kept, "[!.]*.npy") | names(kept, ".*.partial")
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

print(cache["keep_pixels"](path, (100, 3, 4, 4), blocks()).pixels[:, 0, 0, 0].tolist() == [i // 10 for i in range(100)])
"""
"""Another process, which writes a hundred images in ten blocks; without torch it starts in a moment."""


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
    assert list(path.parent.glob(".aigrob-*.partial"))
    wanted = np.arange(4 * 3 * 2 * 2, dtype=np.uint8).reshape(4, 3, 2, 2)
    made = cache.keep_pixels(path, wanted.shape, [wanted[:1], wanted[1:]])
    assert made is not None
    assert np.array_equal(made.pixels, wanted)
    assert not list(path.parent.glob(".*.partial"))
