"""Decoded images, and what is known of them, kept in files for the next time.

A file is named by a digest of all that decides its content, so it is never brought up to date, only made: whole or
not at all, by one process at a time. Whatever is in the folder may be deleted at any time.
"""

from __future__ import annotations

import errno
import hashlib
import io
import math
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import PIL
from numpy.typing import NDArray
from pydantic import TypeAdapter

from robustbench_aig.files import remove_partial, replacing, sha256_of_bytes

Pixels = NDArray[np.uint8]
T = TypeVar("T")
WORTHWHILE = 2000
"""Images of a split from which on it's kept: fewer are decoded in less time than anybody notices."""

_FORMAT = 4
"""To be raised when `decode` gives other pixels, or `measure` and `DataSet` other answers, for the same files."""


def cache_folder() -> Path:
    """`$AIGROB_CACHE/decoded`, else `$XDG_CACHE_HOME/aigrob/decoded`, else `~/.cache/aigrob/decoded`."""
    named, shared = os.environ.get("AIGROB_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if named:
        return Path(named).expanduser() / "decoded"
    return (Path(shared) if shared else Path.home() / ".cache") / "aigrob" / "decoded"


def fingerprint(root: Path, files: Sequence[str]) -> str:
    """Hexadecimal digest of a folder's place and of each file's path, size, number and times of change in ns.

    To read all files would take as long as to decode small ones. The system sets one of the two times whenever a file
    is written, and lets no program choose it, so other content always means another digest. Copies in another place, of
    which a file system may tell nothing else apart, have their own.
    """
    sha = hashlib.sha256(os.fsencode(root.resolve()))
    skipped = len(str(root))
    for path in files:
        try:
            found = os.stat(path)  # noqa: PTH116 - making a Path takes longer than asking
            state = f"\0{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}\0"
        except OSError:
            state = "\0missing\0"  # whoever reads it will say so
        sha.update(os.fsencode(path[skipped:] + state))
    return sha.hexdigest()


def path_of(suffix: str, *decisive: object) -> Path:
    """The file for what follows from `decisive`, the version of Pillow and the format."""
    # Pillow's version belongs to it: its resampling and JPEG decoding have changed between versions.
    digest = hashlib.sha256(repr((_FORMAT, PIL.__version__, *decisive)).encode()).hexdigest()
    return cache_folder() / f"{digest[:32]}{suffix}"


class Kept(NamedTuple):
    """A file of images, mapped read-only.

    Attributes:
        pixels: (N, C, H, W).
        sums: (N,) uint32, the CRC-32 of each image when it was written.
    """

    pixels: Pixels
    sums: NDArray[np.uint32]


def load_pixels(path: Path, shape: tuple[int, ...]) -> Kept | None:
    """Map a file of images (N, C, H, W); None where it's missing or was cut off."""
    header, size = _header(shape), math.prod(shape)
    try:
        with path.open("rb") as stream:
            # The length shows what a full disk or a kill has cut off, without reading all pixels.
            whole = len(header) + size + 4 * shape[0]
            if stream.read(len(header)) != header or os.fstat(stream.fileno()).st_size != whole:
                return None
            pixels = np.memmap(stream, np.uint8, "r", len(header), shape)
            stream.seek(len(header) + size)
            return Kept(pixels, np.frombuffer(stream.read(), "<u4"))
    except OSError:
        return None


def keep_pixels(path: Path, shape: tuple[int, ...], blocks: Iterable[Pixels]) -> Kept | None:
    """Write images (N, C, H, W), given in blocks (B, C, H, W), and map them.

    Where another process is writing the same file, wait for it and leave the blocks alone.

    Raises:
        OSError: the file cannot be written.
    """
    with alone(path):
        if load_pixels(path, shape) is None:
            sums: list[int] = []
            write(path, chain([_header(shape)], _summed(blocks, sums), _as_bytes(sums)))
    return load_pixels(path, shape)


def _summed(blocks: Iterable[Pixels], sums: list[int]) -> Iterator[memoryview]:
    """The blocks' bytes; the CRC-32 of each image is added to `sums` on the way."""
    for block in blocks:
        sums.extend(map(zlib.crc32, block))
        yield block.data


def _as_bytes(sums: list[int]) -> Iterator[bytes]:
    """Asked for when all sums are known."""
    yield np.array(sums, "<u4").tobytes()


def _header(shape: tuple[int, ...]) -> bytes:
    """Of NumPy's format, so that others can read the file, too."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def remembered(path: Path, kind: TypeAdapter[T], find: Callable[[], T]) -> T:
    """What a small file says; found, and written down if that's possible, where it says nothing or was changed."""
    with suppress(OSError, ValueError):
        digest, _, content = path.read_bytes().partition(b"\n")
        if digest == sha256_of_bytes(content).encode():
            return kind.validate_json(content)
    found = find()
    content = kind.dump_json(found)
    with suppress(OSError), alone(path):
        write(path, [sha256_of_bytes(content).encode(), b"\n", content])
    return found


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait for a turn at making a file; a killed process loses its turn at once. OSError where nobody can take turns.

    Several processes that torchrun starts come here together, and only one of them should do the work.
    """
    try:
        import fcntl  # noqa: PLC0415 - Windows has none
    except ImportError:
        raise OSError(errno.ENOLCK, "no file locks on this system") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW  # whoever laid a link there must not have us open what it leads to
    with open(os.open(path.with_name(f".{path.name}.lock"), flags, 0o666), "r+b", 0) as turn:  # noqa: PTH123
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def write(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Make a file of parts, while `alone`. OSError where that fails."""
    remove_partial(path.parent, path)
    with replacing(path) as stream:
        for part in parts:
            stream.write(part)


def obstacle(path: Path, size: int) -> str | None:
    """What keeps a file of so many bytes from being made, as far as can be told beforehand."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK | os.X_OK):
            return os.strerror(errno.EACCES)
        return os.strerror(errno.ENOSPC) if shutil.disk_usage(path.parent).free < size else None
    except OSError as error:
        return error.strerror or str(error)


def unkept(reason: str) -> str:
    """The note for images that cannot be kept."""
    return (
        f"decoded images cannot be kept in {cache_folder()} ({reason}): they are decoded into memory every time; "
        "AIGROB_CACHE names another folder"
    )
