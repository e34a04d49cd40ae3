"""A defence in front of a network: part of it for whoever attacks, and transparent to gradients (BPDA)."""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from robustbench_aig.defence_names import parse_defence
from robustbench_aig.errors import InputError

_MODES = {1: "L", 3: "RGB"}


class Jpeg(nn.Module):
    """Images as they come back from a JPEG file: 8-bit, baseline, chroma at half resolution (4:2:0).

    The backward pass is the identity: the backward-pass differentiable approximation of Athalye et al. (arXiv
    1802.00420), because compression changes little and its own gradient is zero almost everywhere.

    Pillow compresses on the CPU, one image after the other, about 0.1 ms for 32×32 pixels in colour. torchvision's
    functions return the same pixels in half the time, but are deprecated since its release 0.29.

    Args:
        quality: libjpeg's, from 1 to 100.
    """

    def __init__(self, quality: int) -> None:
        super().__init__()
        if not 1 <= quality <= 100:
            raise ValueError(f"quality must be from 1 to 100, got {quality}")
        self.quality = quality

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1], C = 1 or 3, to the same; type, device and memory layout stay.

        Raises:
            InputError: JPEG has no such number of channels.
        """
        if x.shape[1] not in _MODES:
            raise InputError(f"JPEG knows images of 1 or 3 channels, not of {x.shape[1]}: use no --defence")
        compressed: Tensor = _StraightThrough.apply(x, self.quality)
        return compressed

    def extra_repr(self) -> str:
        """The quality, for `print(model)`."""
        return f"quality={self.quality}"


def defended(model: nn.Module, defence: str) -> nn.Module:
    """A network behind a defence, as `defence` and `network` of an `nn.Sequential`; `model` itself for "none".

    Raises:
        InputError: as for `parse_defence`.
    """
    parsed = parse_defence(defence)
    if parsed is None:
        return model
    jpeg = Jpeg(parsed.quality)
    behind = nn.Sequential(OrderedDict(defence=jpeg, network=model))
    # Not `train()`, which would change the network's own parts.
    behind.training = jpeg.training = model.training
    return behind


class _StraightThrough(torch.autograd.Function):
    """Compression forward, the identity backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, quality: int) -> Tensor:  # noqa: ANN401, ARG004 - autograd's own signature
        return torch.empty_like(x).copy_(_compressed(x, quality))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401, ARG004
        return gradient, None


def _compressed(x: Tensor, quality: int) -> Tensor:
    """(B, C, H, W) float32 on the CPU."""
    mode = _MODES[x.shape[1]]
    pixels = x.detach().float().clamp(0, 1).mul(255).round().to("cpu", torch.uint8)
    images = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    out = np.empty_like(images)
    for image, place in zip(images, out, strict=True):
        flat = image if mode == "RGB" else image[:, :, 0]
        file = io.BytesIO()
        Image.fromarray(flat).save(file, "JPEG", quality=quality)
        # The decoder alone: the size is known, and reading a file's header in Python takes longer than decoding it.
        decoded = Image.frombytes(mode, flat.shape[1::-1], file.getvalue(), "jpeg", mode, "")
        place[:] = np.asarray(decoded).reshape(image.shape)
    return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 255
