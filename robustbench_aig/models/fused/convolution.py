"""A frozen convolution into which batch-norm is folded, followed by an addition and a ReLU at no extra pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

Size = tuple[int, int]


class Convolution(nn.Module):
    """relu(conv(x) + skip); ReLU and addition are optional. It records no graph: `chain.Chain` does.

    Fused, its weights are laid out as oneDNN computes with them, once: otherwise every call does that, which is a third
    of the time of one small image.

    Args:
        conv: with zero padding; batch-norm already folded in.
        dtype: in which its weights are kept and images are to come.
        stride: None takes the convolution's own.
    """

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype, stride: Size | None = None) -> None:
        super().__init__()
        weight = conv.weight.detach().to(dtype, copy=True, memory_format=torch.channels_last)
        bias = None if conv.bias is None else conv.bias.detach().to(dtype, copy=True)
        # Parameters, because foreign code asks them where a network lies.
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.stride: Size = stride or _pair(conv.stride)
        self.padding, self.dilation = _pair(conv.padding), _pair(conv.dilation)
        self.groups = conv.groups
        self._packed: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the packed weights, which can't be copied; they are made again."""
        return vars(self) | {"_packed": None}

    def forward(self, x: Tensor, skip: Tensor | None = None, *, relu: bool, overwrite: bool = False) -> Tensor:
        """(B, C', H', W') from (B, C, H, W), channels last.

        Args:
            x: the features.
            skip: what is added to the convolution, in the output's shape.
            relu: whether a ReLU follows.
            overwrite: `skip` may become the result.
        """
        if (
            fuses(x.device.type, x.dtype)
            and self.groups == 1
            and _is_layout_clear(x)
            and (skip is None or _is_layout_clear(skip))
        ):
            return self._fused(x, skip, relu=relu, overwrite=overwrite)
        out = torch.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        if skip is not None:
            out.add_(skip)
        return out.relu_() if relu else out

    def _fused(self, x: Tensor, skip: Tensor | None, *, relu: bool, overwrite: bool) -> Tensor:
        """The same in one call of oneDNN."""
        if self._packed is None:
            self._packed = packed(self.weight, self.padding, self.stride, self.dilation, self.groups, x.shape)
        where = (self._packed, self.bias, self.padding, self.stride, self.dilation, self.groups)
        ops, out = torch.ops.mkldnn, skip
        if out is None:
            out = ops._convolution_pointwise(x, *where, "relu" if relu else "none", [], "")  # noqa: SLF001
        else:
            # The form that writes elsewhere takes longer than a copy and the one that writes in place.
            out = out if overwrite else out.clone()
            ops._convolution_pointwise_(out, x, *where, "add", None, "relu" if relu else None, [], "")
        return out

    def input_gradient(self, gradient: Tensor, size: torch.Size) -> Tensor:
        """The gradient in the input's size (B, C, H, W) from that of the convolution (B, C', H', W')."""
        # Of the input no more than its shape and layout are looked at.
        x = torch.empty(size, dtype=gradient.dtype, device=gradient.device, memory_format=torch.channels_last)
        where = (self.stride, self.padding, self.dilation, False, (0, 0), self.groups, (True, False, False))
        found: Tensor = torch.ops.aten.convolution_backward(gradient, x, self.weight, None, *where)[0]
        return found


@cache
def fuses(device: str, dtype: torch.dtype) -> bool:
    """Whether torch's private names for oneDNN's fused convolutions are there and work; on a CPU alone."""
    if device != "cpu":
        return False
    some = torch.ones(1, 2, 2, 2, dtype=dtype).to(memory_format=torch.channels_last)
    where: tuple[Any, ...] = (some.new_ones(2, 2, 1, 1), None, [0, 0], [1, 1], [1, 1], 1)
    try:
        ops = torch.ops.mkldnn
        ops._convolution_pointwise(some, *where, "relu", [], "")  # noqa: SLF001
        ops._convolution_pointwise_(some.clone(), some, *where, "add", None, "relu", [], "")
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True


def packed(weight: Tensor, padding: Size, stride: Size, dilation: Size, groups: int, size: torch.Size) -> Tensor:
    """Frozen weights as oneDNN wants them for images of a size (B, C, H, W), which suit any number of images.

    `weight` itself where torch doesn't know how.
    """
    pack: Callable[..., Tensor] | None = getattr(torch._C._nn, "mkldnn_reorder_conv2d_weight", None)  # noqa: SLF001
    if pack is None:
        return weight
    with torch.no_grad():
        return pack(weight.to_mkldnn(), padding, stride, dilation, groups, size)


def _is_layout_clear(x: Tensor) -> bool:
    """Whether one sees that channels come last; where one doesn't, oneDNN's addition refuses bfloat16."""
    images, channels, height, width = x.shape
    return images > 0 and channels > 1 and height * width > 1


def relu_gradient(gradient: Tensor, out: Tensor, *, overwrite: bool = False) -> Tensor:
    """The gradient before a ReLU, channels last.

    Args:
        gradient: behind the ReLU.
        out: what came out of it.
        overwrite: `gradient` may become the result.
    """
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    masked = gradient if overwrite else torch.empty_like(gradient)
    if out.device.type == "cpu" and out.dtype == torch.bfloat16:
        # Of 16 bits those of a positive number are a positive integer, too; torch widens bfloat16 to compare, which
        # takes three times as long.
        gradient, out, into = gradient.view(torch.int16), out.view(torch.int16), masked.view(torch.int16)
    else:
        into = masked
    torch.ops.aten.threshold_backward.grad_input(gradient, out, 0, grad_input=into)
    return masked


def _pair(value: Any) -> Size:  # noqa: ANN401 - torch declares these as a string or a tuple of any length
    height, width = value
    return height, width
