"""The CIFAR-style residual network of He et al. (arXiv 1512.03385, section 4.2), for any image size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """(x - mean) / std per channel. Nothing outside the network knows these numbers.

    Args:
        mean: per channel, in units of the [0, 1] pixel range.
        std: the same.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to zero mean and unit variance."""
        return (x - self.mean) / self.std


def conv_pair(channels: int, width: int, stride: int) -> nn.Sequential:
    """The residual branch of a basic block: 3×3 convolution, batch-norm, ReLU, 3×3 convolution, batch-norm."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
            bn1=nn.BatchNorm2d(width),
            relu=nn.ReLU(),
            conv2=nn.Conv2d(width, width, 3, padding=1, bias=False),
            bn2=nn.BatchNorm2d(width),
        )
    )


class Projection(nn.Module):
    """1×1 convolution with a stride, and batch-norm: the shortcut where the shape changes."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels, width, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, width, H / stride, W / stride)."""
        # Dropping pixels first is the same as a strided 1×1 convolution, whose weight gradient in channels-last layout
        # writes past its buffer on a CPU where channels are few (https://github.com/uxlfoundation/oneDNN/issues/6035;
        # torch 2.14 crashed with widths 4-6-8, 3-5-7 and 4-4-4).
        out: Tensor = self.bn(self.conv(x[:, :, :: self.stride, :: self.stride]))
        return out


def projection(channels: int, width: int, stride: int) -> nn.Module:
    """The shortcut: identity where the shape stays."""
    return nn.Identity() if channels == width and stride == 1 else Projection(channels, width, stride)


class Block(nn.Module):
    """relu(shortcut(x) + residual(x))."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.shortcut = projection(channels, width, stride)
        self.residual = conv_pair(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, width, H / stride, W / stride)."""
        out: Tensor = self.shortcut(x) + self.residual(x)
        return out.relu()


class ResNet(nn.Module):
    """Residual network of depth 6n + 2: three stages of n basic blocks.

    Args:
        depth: 6n + 2.
        classes: number of logits.
        mean: of the training images, per channel in [0, 1]; its length is the number of input channels.
        std: the same.
        widths: channels of the three stages.
    """

    def __init__(
        self,
        depth: int,
        classes: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        widths: Sequence[int] = (16, 32, 64),
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"depth must be 6n + 2 and at least 8, got {depth}")
        self.normalise = Normalise(mean, std)
        self.stem = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(len(mean), widths[0], 3, padding=1, bias=False),
                bn=nn.BatchNorm2d(widths[0]),
                relu=nn.ReLU(),
            )
        )
        channels = widths[0]
        per_stage = (depth - 2) // 6
        self.stages = nn.Sequential()
        for stage, width in enumerate(widths):
            blocks = nn.Sequential()
            for position in range(per_stage):
                stride = 2 if stage > 0 and position == 0 else 1
                blocks.append(self.make_block(stage * per_stage + position, channels, width, stride))
                channels = width
            self.stages.append(blocks)
        self.head = nn.Linear(channels, classes)

    def make_block(self, position: int, channels: int, width: int, stride: int) -> nn.Module:
        """The block at a position of the network, counted from 0; a gated network overrides this."""
        return Block(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to logits (B, classes)."""
        features = self.stages(self.stem(self.normalise(x)))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits
