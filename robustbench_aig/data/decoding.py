"""From image files to pixels, on several threads; any format that Pillow reads."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from robustbench_aig.data.images import Progress
from robustbench_aig.errors import DataError
from robustbench_aig.threat import Shape

DENIED = "cannot read {}: permission denied; give yourself the right to read it"

_GREY = {"1", "L", "LA"}
_EIGHT_BITS = _GREY | {"La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
"""Modes that Pillow converts to grey and to RGB as one would expect; deeper ones it cuts off at white."""
_CAMERA = "MPO"
"""A format of one picture: a camera's JPEG, with a preview or a second lens behind the picture."""
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
_CHUNK = 64
_BLOCK = 2**27
"""Bytes of decoded images in memory at a time."""
T = TypeVar("T")


def measure(files: Sequence[str]) -> tuple[set[tuple[int, int]], bool]:
    """All (H, W) that occur, and whether every image is grey; reads the headers alone."""

    def header(path: str) -> tuple[tuple[int, int], bool]:
        with _opened(path) as image:
            return (image.height, image.width), image.mode in _GREY

    headers = _each(files, header, None)
    return {size for size, _ in headers}, all(grey for _, grey in headers)


@contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    """An image file that can be read; the one place that refuses others. An EXIF orientation is not applied.

    Raises:
        ValueError: its pixels have no meaning in 8 bits, or it holds several pictures.
    """
    with Image.open(path) as image:
        if image.mode not in _EIGHT_BITS:
            raise ValueError(f"{image.mode} pixels are not 8-bit grey or colour: convert it to 8-bit grey or RGB")
        frames = 1 if image.format == _CAMERA else getattr(image, "n_frames", 1)
        if frames > 1:
            raise ValueError(f"it holds {frames} pictures: keep one of them in it")
        yield image


def decode(files: Sequence[str], shape: Shape, progress: Progress | None) -> Tensor:
    """Read images as (N, C, H, W) uint8; other sizes are scaled to cover (H, W) and cropped to its centre."""
    channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"

    def pixels(path: str) -> NDArray[np.uint8]:
        with _opened(path) as image:
            # A palette with transparency warns unless it goes through RGBA.
            whole = image.convert("RGBA") if "transparency" in image.info else image
            fitted = _fit(whole.convert(mode), height, width)
            return np.asarray(fitted, dtype=np.uint8).reshape(height, width, channels)

    stacked = np.stack(_each(files, pixels, progress))
    # A copy, because one channel makes any strides count as contiguous, and strides choose the convolution's kernel.
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)


def decode_blocks(files: Sequence[str], shape: Shape, progress: Progress | None) -> Iterator[NDArray[np.uint8]]:
    """The same in blocks (B, C, H, W), only one of which is in memory at a time."""
    size = max(1, _BLOCK // math.prod(shape))
    for start in range(0, len(files), size):

        def counted(done: int, _: int, before: int = start) -> None:
            if progress is not None:
                progress(before + done, len(files))

        yield decode(files[start : start + size], shape, counted).numpy()


def _fit(image: Image.Image, height: int, width: int) -> Image.Image:
    if image.size == (width, height):
        return image
    scale = max(height / image.height, width / image.width)
    larger = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    left, top = (larger[0] - width) // 2, (larger[1] - height) // 2
    resized = image.resize(larger, Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + width, top + height))


def _each(files: Sequence[str], work: Callable[[str], T], progress: Progress | None) -> list[T]:
    """`work` on every file, on several threads; a failure names its file."""

    def one(path: str) -> T:
        try:
            return work(path)
        except PermissionError:
            raise DataError(DENIED.format(path)) from None
        except _UNREADABLE as error:
            reason = "not an image" if isinstance(error, UnidentifiedImageError) else str(error)
            raise DataError(f"cannot read image {path}: {reason}; repair or remove it") from None

    def several(start: int) -> list[T]:
        return [one(path) for path in files[start : start + _CHUNK]]

    done: list[T] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in pool.map(several, range(0, len(files), _CHUNK)):
            done += part
            if progress is not None:
                progress(len(done), len(files))
    return done
