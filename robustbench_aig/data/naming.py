"""Images by the names of their files, as a list in a text file gives them."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from robustbench_aig.errors import InputError, first_line

_SPLIT = "test"
_SEARCHED = 10_000
"""Names among which the nearest is looked for: more take seconds."""


def read_list(path: Path) -> list[str]:
    """The lines of a text file in UTF-8 that are neither empty nor begin with #.

    Raises:
        InputError: it cannot be read, is no text, or lists nothing.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else first_line(error)
        raise InputError(f"--images {path} cannot be read ({reason}): name a text file, a name in each line") from None
    listed = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not listed:
        raise InputError(f"--images {path} lists no image: write a file's name into each line")
    return listed


def positions_of(listed: Iterable[str], names: Sequence[str], count: int, path: Path) -> Tensor:
    """Where listed images are in a split, (M,) int64 in its order, each once.

    An image is called CLASS/FILE as in the split's folder, also behind a path that ends in `test/`; FILE alone where
    only one bears it; or by its position, a number from 0.

    Args:
        listed: as `read_list` gives them.
        names: of the split's files in its order; none where there are no files.
        count: images in the split.
        path: of the list, for messages.

    Raises:
        InputError: a name that no image bears, or several.
    """
    known: dict[str, set[int]] = defaultdict(set)
    for position, name in enumerate(names):
        known[name].add(position)
        known[name.rpartition("/")[2]].add(position)
    found = set()
    for text in listed:
        places = next((known[name] for name in _spellings(text) if name in known), set())
        if not places and text.isascii() and text.isdigit() and int(text) < count:
            places = {int(text)}
        if not places:
            raise InputError(f"--images {path}: {_unknown(text, names, count)}")
        if len(places) > 1:
            raise InputError(f"--images {path}: {len(places)} images are called '{text}': write CLASS/FILE")
        found |= places
    return torch.tensor(sorted(found), dtype=torch.int64)


def _spellings(text: str) -> list[str]:
    """A name as it is, and what stands behind each folder `test` of a path."""
    parts = text.replace("\\", "/").split("/")
    return [text, *("/".join(parts[n:]) for n, part in enumerate(parts[:-1], 1) if part == _SPLIT)]


def _unknown(text: str, names: Sequence[str], count: int) -> str:
    """Why there is no such image."""
    if not names:
        return f"'{text}' is no position, and these images have no file names: write numbers from 0 to {count - 1}"
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.5) if len(names) <= _SEARCHED else []
    return f"no test image is called '{text}'; {f'did you mean {near[0]!r}?' if near else f'one is {names[0]!r}'}"
