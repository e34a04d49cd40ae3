"""From image files to pixels, on several threads; any format that Pillow reads."""

from __future__ import annotations

import math
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from robustbench_aig.data.images import Progress
from robustbench_aig.errors import DataError, first_line
from robustbench_aig.threat import Shape

DENIED = "cannot read {}: permission denied; change its permissions"

_GREY = {"1", "L", "LA"}
_EIGHT_BITS = _GREY | {"La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
"""Modes that Pillow converts to grey and to RGB as one would expect; deeper ones it cuts off at white."""
_FIRST = {"MPO", "GIF"}
"""Formats whose first picture is the picture: a camera's JPEG has a preview or a second lens behind it."""
_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation, what brings an image upright."""
_ACROSS = {5, 6, 7, 8}
"""Orientations that exchange height and width."""
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
_MOST = 20
"""Problems that are named one by one."""
# Files for a thread at a time: one by one the handing out would take longer than a small image.
_CHUNK = 64
_BLOCK = 2**27
"""Bytes of decoded images in memory at a time."""
T = TypeVar("T")


class Sizes(NamedTuple):
    """What the headers of some images say.

    Attributes:
        counts: height, width, and how many images have them.
        grey: whether all are grey.
    """

    counts: list[tuple[int, int, int]]
    grey: bool


def measure(files: Sequence[str]) -> Sizes:
    """Read the headers alone."""

    def header(path: str) -> tuple[tuple[int, int], bool]:
        with _opened(path) as image:
            size = image.height, image.width
            return size[::-1] if _turn(image) in _ACROSS else size, image.mode in _GREY

    headers = _each(files, header, None)
    counted = Counter(size for size, _ in headers)
    return Sizes([(*size, count) for size, count in sorted(counted.items())], all(grey for _, grey in headers))


def _turn(image: Image.Image) -> int:
    """The EXIF orientation by which a camera was held, 1 to 8; of a file that Pillow turns itself, 1.

    A PNG that says it behind its pixels counts as upright: to know better, all of it would have to be decoded.
    """
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    return turn if turn in _TURNED else 1


@contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    """An image file that can be read; the one place that refuses others.

    Raises:
        ValueError: its pixels have no meaning in 8 bits, or it holds several pictures.
    """
    with Image.open(path) as image:
        if image.mode not in _EIGHT_BITS:
            raise ValueError(f"{image.mode} pixels are not 8-bit grey or colour: convert it to 8-bit grey or RGB")
        frames = 1 if image.format in _FIRST else getattr(image, "n_frames", 1)
        if frames > 1:
            raise ValueError(f"it contains {frames} pictures: keep one of them")
        yield image


def decode(files: Sequence[str], shape: Shape, progress: Progress | None) -> Tensor:
    """Read images as (N, C, H, W) uint8; other sizes are scaled to cover (H, W) and cropped to its centre."""
    channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"

    def pixels(path: str) -> NDArray[np.uint8]:
        with _opened(path) as image:
            turn = _turn(image)
            # A palette with transparency warns unless it goes through RGBA.
            whole = (image.convert("RGBA") if "transparency" in image.info else image).convert(mode)
            fitted = _fit(whole.transpose(_TURNED[turn]) if turn in _TURNED else whole, height, width)
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


class UnreadableImages(DataError):
    """Some files are no images, or damaged.

    Attributes:
        problems: one sentence each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(one_line(problems))
        self.problems = problems


def one_line(problems: Sequence[str], where: str = "these images") -> str:
    """All of some problems, at least one, up to a number that can be read."""
    if len(problems) == 1:
        return problems[0]
    more = f"; and {len(problems) - _MOST} more" if len(problems) > _MOST else ""
    return f"{len(problems)} problems with {where}: {'; '.join(problems[:_MOST])}{more}"


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return (isinstance(error, OSError) and error.strerror) or first_line(error)


def _each(files: Sequence[str], work: Callable[[str], T], progress: Progress | None) -> list[T]:
    """`work` on every file, on several threads; UnreadableImages names all where it fails."""
    problems: list[str] = []

    def one(path: str) -> T | None:
        try:
            return work(path)
        except PermissionError:
            problems.append(DENIED.format(path))
        except _UNREADABLE as error:
            problems.append(f"cannot read image {path}: {_reason(error)}; repair or remove it")
        return None

    def several(start: int) -> list[T | None]:
        return [one(path) for path in files[start : start + _CHUNK]]

    done: list[T | None] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in pool.map(several, range(0, len(files), _CHUNK)):
            done += part
            if progress is not None:
                progress(len(done), len(files))
    if problems:
        raise UnreadableImages(sorted(problems))
    return [found for found in done if found is not None]
