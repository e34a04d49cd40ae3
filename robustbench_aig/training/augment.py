"""Random crop and flip of a batch in one go, on whatever device it lies."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from robustbench_aig.recipes import Augment


def augment(images: Tensor, settings: Augment, generator: torch.Generator) -> Tensor:
    """Crop and flip images (B, C, H, W) as a recipe says; the generator lies on their device."""
    if settings.crop > 0:
        height, width = images.shape[2:]
        images = random_crop(images, round(settings.crop * height), round(settings.crop * width), generator)
    return random_flip(images, generator) if settings.flip else images


def random_crop(images: Tensor, down: int, across: int, generator: torch.Generator) -> Tensor:
    """Pad with zeros and cut a window of the old size, at a place of its own for each image.

    Args:
        images: (B, C, H, W).
        down: largest shift up or down in pixels.
        across: largest shift left or right.
        generator: on the images' device.
    """
    batch, _, height, width = images.shape
    padded = F.pad(images, (across, across, down, down))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    rows = torch.randint(2 * down + 1, (batch,), generator=generator, device=images.device)
    columns = torch.randint(2 * across + 1, (batch,), generator=generator, device=images.device)
    return windows[torch.arange(batch, device=images.device), :, rows, columns]


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image (B, C, H, W) left to right with probability one half."""
    mirrored = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
