"""Small pictures of the clean images that a report's table names, kept beside its evidence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from robustbench_aig.files import write_atomic
from robustbench_aig.reporting.pictures import Pixels, thumbnail
from robustbench_aig.reporting.table_columns import Ints

Originals = Callable[[Ints], Pixels]
"""From image ids (N,) to the clean images (N, C, H, W)."""

_MOST_PIXELS = 64


def keep_thumbnails(directory: Path, ids: Ints, originals: Originals) -> None:
    """Write pictures of some images, thinned to at most 64 pixels a side."""
    pixels = originals(ids)
    every = max(1, -(-max(pixels.shape[2:]) // _MOST_PIXELS))
    levels = np.rint(np.clip(pixels[:, :, ::every, ::every], 0, 1) * 255).astype(np.uint8)
    write_atomic(_path(directory), save({"ids": ids, "images": np.ascontiguousarray(levels)}))


def load_thumbnails(directory: Path) -> dict[int, str]:
    """Data URIs by image; empty where none were kept, or their file is damaged: no number is made from them."""
    path = _path(directory)
    if not path.is_file():
        return {}
    try:
        kept = load_file(path)
        images = kept["images"].astype(np.float32) / 255
        return {int(image): thumbnail(pixels) for image, pixels in zip(kept["ids"], images, strict=True)}
    except (SafetensorError, KeyError, ValueError, OSError):
        return {}


def _path(directory: Path) -> Path:
    return directory / "images" / "thumbnails.safetensors"
