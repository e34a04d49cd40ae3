"""Images as data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float32]
"""In [0, 1]."""

_SIDE = 64


def thumbnail(pixels: Pixels) -> str:
    """Data URI of an image (C, H, W), scaled down where it is larger than 64 pixels."""
    picture = _picture(pixels)
    picture.thumbnail((_SIDE, _SIDE))
    return _uri(picture)


def png(pixels: Pixels) -> str:
    """Data URI of an image (C, H, W); of the channels that `channels_shown` says."""
    return _uri(_picture(pixels))


def channels_shown(channels: int) -> str | None:
    """Which channels of an image with so many are shown, in words; None where all are, as grey or in colour."""
    if channels in {1, 3}:
        return None
    return f"of {channels} channels the {'first is' if channels == 2 else 'first three are'} shown"


def _picture(pixels: Pixels) -> Image.Image:
    seen = pixels[: 1 if len(pixels) < 3 else 3]
    levels = np.rint(np.clip(seen, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(levels[0] if len(levels) == 1 else np.moveaxis(levels, 0, -1))


def _uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
