"""Random crop and flip of a batch in one go, on whatever device it lies."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import Augment


def augment(images: Tensor, settings: Augment, stream: Stream) -> Tensor:
    """Crop and flip images (B, C, H, W) as a recipe says.

    Args:
        images: of any type.
        settings: the recipe's.
        stream: (B,) random streams of the images, so that the result belongs to the image and not to its batch.
    """
    uniform = stream.uniform(3)
    if settings.crop > 0:
        height, width = images.shape[2:]
        images = random_crop(images, round(settings.crop * height), round(settings.crop * width), uniform[:, :2])
    return random_flip(images, uniform[:, 2]) if settings.flip else images


def random_crop(images: Tensor, down: int, across: int, uniform: Tensor) -> Tensor:
    """Pad with zeros and cut a window of the old size, at a place of its own for each image.

    Args:
        images: (B, C, H, W).
        down: largest shift up or down in pixels.
        across: largest shift left or right.
        uniform: (B, 2) in (0, 1), where the window lies.
    """
    height, width = images.shape[2:]
    padded = F.pad(images, (across, across, down, down))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    rows, columns = (uniform[:, 0] * (2 * down + 1)).long(), (uniform[:, 1] * (2 * across + 1)).long()
    return windows[torch.arange(len(images), device=images.device), :, rows, columns]


def random_flip(images: Tensor, uniform: Tensor) -> Tensor:
    """Mirror left to right each image (B, C, H, W) whose number (B,) is below one half."""
    return torch.where((uniform < 0.5).view(-1, 1, 1, 1), images.flip(3), images)
