"""Writing files so that a reader never sees half of one, whenever the writer is killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from robustbench_aig.errors import InputError


def data_folder(kind: str) -> Path:
    """`models/`, `attacks/` or `claims/`: inside an installed wheel, else in the checkout (docs/adr/0001)."""
    package = Path(__file__).parent
    installed = package / "_data" / kind
    return installed if installed.is_dir() else package.parent / kind


def safe_name(text: str, most: int = 200) -> str:
    """The name of a file or folder after any text: letters, digits and `._,=+-`; it begins with none of `.-`.

    A text that is such a name already stays as it is. Unlike texts may give the same name: `distinct_names` tells them
    apart.

    Args:
        text: of anybody.
        most: bytes of the name.
    """
    cleaned = re.sub(r"[^\w.,=+-]+", "-", text).lstrip(".-")
    return cleaned.encode()[:most].decode(errors="ignore") or "unnamed"


def distinct_names(texts: Sequence[str], most: int = 200) -> dict[str, str]:
    """Safe names by text, all unlike, also where case doesn't count; one that isn't its text ends in a digest of it."""
    found: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        name = safe_name(text, most)
        taken = {other.casefold() for other in found.values()}
        if name != text or name.casefold() in taken:
            name = f"{safe_name(text, most - 9)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        found[text] = name
    return found


def make_folder(path: Path) -> None:
    """Create a folder and its parents; InputError names what stands in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None


def write_atomic(path: Path, content: bytes | str) -> None:
    """Replace a file by new content, whole or not at all: written beside it, flushed to disk, renamed.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    # One fixed name: what a killed writer leaves behind, the next one overwrites.
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # a full disk needs the room
            temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from None


class UnwritableError(InputError):
    """A file or folder can't be written.

    Attributes:
        reason: what the system said.
    """

    reason: OSError


def unwritable(path: Path | str, error: OSError, option: str = "--out") -> UnwritableError:
    """The one line for a file or folder that cannot be written, and the option that names another."""
    told = UnwritableError(
        f"cannot write {path}: {error.strerror or error}; free some space or choose another {option}"
    )
    told.reason = error
    return told


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
