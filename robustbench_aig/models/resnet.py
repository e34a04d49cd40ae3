"""Residual networks (He et al., arXiv 1512.03385): CIFAR's and ImageNet's, for images of any size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NotRequired, TypedDict

import torch
from torch import Tensor, nn

from robustbench_aig.recipes.model_recipes import Stem, blocks_per_stage


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


def bottleneck(channels: int, width: int, stride: int) -> nn.Sequential:
    """The residual branch of a bottleneck block: 1×1, 3×3 and 1×1 convolution, the last to 4 · width channels.

    The 3×3 convolution has the stride, as in torchvision and in the official ConvNet-AIG code; in the paper by He et
    al. the first one has it, which takes fewer multiply-accumulates.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, width, 1, bias=False),
            bn1=nn.BatchNorm2d(width),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False),
            bn2=nn.BatchNorm2d(width),
            relu2=nn.ReLU(),
            conv3=nn.Conv2d(width, 4 * width, 1, bias=False),
            bn3=nn.BatchNorm2d(4 * width),
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
    """relu(shortcut(x) + residual(x)).

    Args:
        shortcut: from the block's input to the shape of its output.
        residual: the residual branch, to the same shape.
    """

    def __init__(self, shortcut: nn.Module, residual: nn.Module) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, width, H / stride, W / stride)."""
        out: Tensor = self.shortcut(x) + self.residual(x)
        return out.relu()


class Settings(TypedDict):
    """What all residual networks are told beside their depth and number of classes; see `ResNet`."""

    mean: Sequence[float]
    std: Sequence[float]
    widths: NotRequired[Sequence[int]]
    stages: NotRequired[Sequence[int] | None]
    bottleneck: NotRequired[bool]
    stem: NotRequired[Stem]
    stem_width: NotRequired[int | None]


class ResNet(nn.Module):
    """Residual network; with the defaults that for CIFAR: three stages of n basic blocks, depth 6n + 2.

    Args:
        depth: layers with weights, those of shortcuts and gates not counted.
        classes: number of logits.
        mean: of the training images, per channel in [0, 1]; its length is the number of input channels.
        std: the same.
        widths: channels of the 3×3 convolutions of each stage.
        stages: number of blocks of each stage; None for three equal ones.
        bottleneck: blocks are bottlenecks, whose output is four times as wide.
        stem: "imagenet" begins with a 7×7 convolution and a max-pool, each with stride 2, and initialises
            convolutions as torchvision does; "cifar" begins with a 3×3 convolution.
        stem_width: channels of the stem; None for those of the first stage.

    Raises:
        ValueError: depth, stages and widths contradict each other.
    """

    def __init__(
        self,
        depth: int,
        classes: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        widths: Sequence[int] = (16, 32, 64),
        stages: Sequence[int] | None = None,
        bottleneck: bool = False,
        stem: Stem = "cifar",
        stem_width: int | None = None,
    ) -> None:
        super().__init__()
        plan = blocks_per_stage(depth, widths, stages, bottleneck=bottleneck)
        self.blocks, self.bottleneck = sum(plan), bottleneck
        channels = stem_width or widths[0]
        self.normalise = Normalise(mean, std)
        self.stem = make_stem(stem, len(mean), channels)
        self.stages = nn.Sequential()
        position = 0
        for stage, (count, width) in enumerate(zip(plan, widths, strict=True)):
            blocks = nn.Sequential()
            for within in range(count):
                stride = 2 if stage > 0 and within == 0 else 1
                blocks.append(self.make_block(position, channels, width, stride))
                channels = self.expansion * width
                position += 1
            self.stages.append(blocks)
        self.head = nn.Linear(channels, classes)
        if stem == "imagenet":
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def expansion(self) -> int:
        """Channels of a block's output for each of its 3×3 convolutions' channels."""
        return 4 if self.bottleneck else 1

    def make_block(self, position: int, channels: int, width: int, stride: int) -> nn.Module:
        """The block at a position of the network, counted from 0; a gated network overrides this."""
        return Block(*self.make_paths(channels, width, stride))

    def make_paths(self, channels: int, width: int, stride: int) -> tuple[nn.Module, nn.Module]:
        """Shortcut and residual branch of a block."""
        branch = bottleneck if self.bottleneck else conv_pair
        return projection(channels, self.expansion * width, stride), branch(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to logits (B, classes)."""
        features = self.stages(self.stem(self.normalise(x)))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


def make_stem(kind: Stem, channels: int, width: int) -> nn.Sequential:
    """What comes before the blocks: convolution, batch-norm, ReLU and, for ImageNet, max-pool."""
    if kind == "cifar":
        conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    else:
        conv = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
    stem = nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(width), relu=nn.ReLU()))
    if kind == "imagenet":
        stem.add_module("pool", nn.MaxPool2d(3, stride=2, padding=1))
    return stem
