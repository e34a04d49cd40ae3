"""Writing files so that a reader never sees half of one, whenever the writer is killed, and nobody's else is hit."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from robustbench_aig.errors import InputError, printable

LONGEST = 200
"""Bytes of the name of a file or folder: what is added to it, such as an ending, must fit, too."""


def data_folder(kind: str) -> Path:
    """`models/`, `attacks/`, `claims/` or `docs/` (the glossary alone): in an installed wheel, else in the checkout.

    See docs/adr/0001.
    """
    package = Path(__file__).parent
    installed = package / "_data" / kind
    return installed if installed.is_dir() else package.parent / kind


def safe_name(text: str, most: int = LONGEST) -> str:
    """The name of a file or folder after any text: letters, digits and `._,=+-`; it begins with none of `.-`.

    A text that is such a name already stays as it is. Unlike texts may give the same name: `distinct_names` tells them
    apart.

    Args:
        text: of anybody.
        most: bytes of the name.
    """
    cleaned = re.sub(r"[^\w.,=+-]+", "-", text).lstrip(".-")
    return cleaned.encode()[:most].decode(errors="ignore") or "unnamed"


def distinct_names(texts: Sequence[str], most: int = LONGEST) -> dict[str, str]:
    """Safe names by text, all unlike, also where case doesn't count; one that isn't its text ends in a digest of it."""
    found: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        name = safe_name(text, most)
        taken = {other.casefold() for other in found.values()}
        if name != text or name.casefold() in taken:
            name = f"{safe_name(text, most - 9)}-{_digest(text)}"
        found[text] = name
    return found


def unsayable(name: str) -> str | None:
    """Why a name can't stand in a report or on a terminal."""
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        return "isn't UTF-8"
    return "has a control character" if printable(name) != name or set("\n\t") & set(name) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


def file_name(text: str) -> str:
    """The name of a file that tells a text from all others."""
    return distinct_names([text])[text]


def make_folder(path: Path) -> None:
    """Create a folder and its parents; InputError names what stands in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None


def make_own_folder(path: Path) -> None:
    """The same for a folder inside a directory of ours, whose files we replace and delete: a link is refused."""
    make_folder(path)
    if path.is_symlink():
        raise InputError(f"{path} is a link, and what it leads to is not ours to change: put a folder in its place")


def there(path: Path) -> bool:
    """Whether a file or folder is there; a name that no file system could take names nothing."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def read_plain(path: Path) -> bytes:
    """The content of a file.

    Raises:
        OSError: the system's; or it is a FIFO or a device, which could be waited for without end, or a folder.
    """
    _refuse(path.stat().st_mode)
    return path.read_bytes()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Replace a file by new content, whole or not at all.

    Raises:
        InputError: the disk is full, the folder cannot be written, or what stands there is no plain file.
    """
    try:
        with replacing(path) as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise unwritable(path, error) from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file, which takes the place of `path` when the block ends well, and else is gone.

    It is written beside it, flushed to disk and renamed. Its name cannot be known beforehand and nothing that has the
    name already is opened, so that no link that somebody laid there is followed.

    Raises:
        OSError: the system's; FileExistsError where a link, a device, a FIFO or a folder stands at `path`.
    """
    _refuse_special(path)
    partial = path.with_name(f".aigrob-{_digest(path.name)}-{secrets.token_hex(8)}.partial")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(partial, flags, 0o666), "wb") as stream:  # noqa: PTH123 - of a descriptor
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):  # a full disk needs the room
            partial.unlink(missing_ok=True)


def remove_partial(folder: Path, of: Path | None = None) -> None:
    """Delete what killed writers left in a folder where nobody else writes now, or of one file there; nothing else."""
    for path in folder.glob(".aigrob-*.partial"):
        found = _PARTIAL.fullmatch(path.name)
        if found and (of is None or found[1] == _digest(of.name)) and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.unlink()


def remove(path: Path) -> None:
    """Delete a file of ours, where it is there; InputError where that fails, or something else stands there."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None


_PARTIAL = re.compile(r"\.aigrob-([0-9a-f]{8})-[0-9a-f]{16}\.partial")
_SPECIAL = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}


def _refuse_special(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:  # there is nothing, or writing will say why not
        return
    _refuse(mode)


def _refuse(mode: int) -> None:
    if not stat.S_ISREG(mode):
        what = _SPECIAL.get(stat.S_IFMT(mode), "a device")
        raise FileExistsError(errno.EEXIST, f"it is {what}, not a plain file")


class UnwritableError(InputError):
    """A file or folder can't be written.

    Attributes:
        reason: what the system said.
    """

    reason: OSError


def unwritable(path: Path | str, error: OSError, option: str = "--out") -> UnwritableError:
    """The one line for a file or folder that cannot be written, and the option that names another."""
    way_out = "free some space or choose" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose"
    told = UnwritableError(f"cannot write {path}: {error.strerror or error}; {way_out} another {option}")
    told.reason = error
    return told


def sha256_of_bytes(content: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
