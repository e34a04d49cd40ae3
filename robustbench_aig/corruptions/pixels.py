"""Corruptions computed from the pixels, the same for an image whatever its batch.

The kinds are those of Hendrycks and Dietterich (arXiv 1903.12261); the code and the severities are not. Accuracies are
therefore not those on CIFAR-10-C, whose files `files` reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from robustbench_aig.corruptions.names import Corruption
from robustbench_aig.errors import InputError
from robustbench_aig.models.defended import Jpeg
from robustbench_aig.precision import float32
from robustbench_aig.randomness import Stream

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a pixel's luminance (ITU-R BT.601)."""


@float32()
def corrupt(x: Tensor, corruption: Corruption, stream: Stream) -> Tensor:
    """Corrupted images (B, C, H, W) in [0, 1].

    What is random is the same at all severities, which say how far it goes.

    Args:
        x: (B, C, H, W) in [0, 1].
        corruption: one of `NAMES`.
        stream: (B,) of the images, one for all severities.

    Raises:
        InputError: the corruption needs another number of channels.
    """
    place = corruption.severity - 1
    if corruption.name in _RANDOM:
        drawn, strengths = _RANDOM[corruption.name]
        return drawn(x, strengths[place], stream).clamp(0, 1)
    fixed, strengths = _FIXED[corruption.name]
    return fixed(x, strengths[place]).clamp(0, 1)


def _gaussian_noise(x: Tensor, sigma: float, stream: Stream) -> Tensor:
    return x + sigma * stream.normal(*x.shape[1:])


def _shot_noise(x: Tensor, photons: float, stream: Stream) -> Tensor:
    """A count of so many photons where the image is white, by the normal distribution of the Poisson's variance."""
    return x + (x / photons).sqrt() * stream.normal(*x.shape[1:])


def _impulse_noise(x: Tensor, share: float, stream: Stream) -> Tensor:
    """So many values black or white."""
    uniform = stream.uniform(*x.shape[1:])
    return torch.where(uniform < share / 2, 0.0, torch.where(uniform > 1 - share / 2, 1.0, x))


def _gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Standard deviation in pixels of an image of 32."""
    wide = sigma * _scale(x)
    radius = math.ceil(3 * wide)
    line = (-(torch.arange(-radius, radius + 1, device=x.device) ** 2) / (2 * wide**2)).exp()
    return _filtered(x, (line[:, None] * line).expand(len(x), -1, -1))


def _motion_blur(x: Tensor, length: float, stream: Stream) -> Tensor:
    """A straight line in each image's own direction, its length in pixels of an image of 32."""
    long = length * _scale(x)
    radius = math.ceil(long / 2)
    along = torch.linspace(-long / 2, long / 2, 8 * radius + 1, device=x.device)
    angle = torch.pi * stream.uniform(1)
    grid = torch.arange(-radius, radius + 1, device=x.device)
    # A point of the line goes to the four pixels around it, by its nearness to each.
    near = [(1 - (step * along - grid[:, None, None]).abs()).clamp_min(0) for step in (angle.sin(), angle.cos())]
    return _filtered(x, torch.einsum("ybp,xbp->byx", *near))


def _brightness(x: Tensor, more: float) -> Tensor:
    return x + more


def _contrast(x: Tensor, share: float) -> Tensor:
    """So much is left of the difference to the image's mean."""
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + share * (x - mean)


def _saturation(x: Tensor, share: float) -> Tensor:
    """So much is left of the difference to the grey image."""
    if x.shape[1] != len(_LUMA):
        raise InputError(f"saturation is of images in colour, not of {x.shape[1]} channel(s)")
    grey = (x * x.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)
    return grey + share * (x - grey)


def _pixelate(x: Tensor, share: float) -> Tensor:
    """Larger pixels, so many of them along a side; a pixel that lies in several has their mean."""
    size = [max(1, round(share * side)) for side in x.shape[2:]]
    return F.interpolate(F.interpolate(x, size, mode="area"), x.shape[2:], mode="area")


def _jpeg(x: Tensor, quality: float) -> Tensor:
    if x.shape[1] not in {1, len(_LUMA)}:
        raise InputError(f"jpeg is of images with 1 or 3 channels, not with {x.shape[1]}")
    changed: Tensor = Jpeg(int(quality))(x)
    return changed


_Strengths = tuple[float, float, float, float, float]
"""At the severities 1 to 5."""

_RANDOM: dict[str, tuple[Callable[[Tensor, float, Stream], Tensor], _Strengths]] = {
    "gaussian-noise": (_gaussian_noise, (0.03, 0.05, 0.07, 0.1, 0.14)),
    "shot-noise": (_shot_noise, (500, 250, 120, 60, 30)),
    "impulse-noise": (_impulse_noise, (0.01, 0.02, 0.04, 0.07, 0.1)),
    "motion-blur": (_motion_blur, (1.5, 2.5, 4, 6, 8)),
}
_FIXED: dict[str, tuple[Callable[[Tensor, float], Tensor], _Strengths]] = {
    "gaussian-blur": (_gaussian_blur, (0.4, 0.6, 0.8, 1.1, 1.5)),
    "brightness": (_brightness, (0.06, 0.12, 0.18, 0.25, 0.35)),
    "contrast": (_contrast, (0.75, 0.6, 0.45, 0.3, 0.2)),
    "saturation": (_saturation, (0.75, 0.5, 0.3, 0.1, 0)),
    "pixelate": (_pixelate, (0.85, 0.7, 0.55, 0.45, 0.35)),
    "jpeg": (_jpeg, (80, 60, 40, 25, 15)),
}


def _scale(x: Tensor) -> float:
    """Sizes in pixels are for images of 32 by 32, and grow with larger ones."""
    return max(1.0, min(x.shape[2:]) / 32)


def _filtered(x: Tensor, kernels: Tensor) -> Tensor:
    """Images (B, C, H, W), each under its own kernel (B, k, k) with k odd, which is brought to the sum 1."""
    batch, channels = x.shape[:2]
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    weights = kernels.repeat_interleave(channels, 0)[:, None]
    padded = F.pad(x, [kernels.shape[-1] // 2] * 4, mode="replicate")
    return F.conv2d(padded.flatten(0, 1)[None], weights, groups=batch * channels)[0].view_as(x)
