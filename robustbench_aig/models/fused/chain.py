"""Convolutions one after the other as one step of autograd that keeps no more than what ReLUs need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from robustbench_aig.models.fused.convolution import Convolution, relu_gradient
from robustbench_aig.models.fused.row_selection import put, take


class Chain(nn.Module):
    """relu(skip + z · conv(relu(… conv(x)))); all but the convolutions is optional.

    The weights are frozen: the gradient is that of the input alone, once differentiable. A convolution's own gradient
    needs no activations then, so that of each layer nothing is kept but what came out of its ReLU.
    """

    def __init__(self, layers: Sequence[Convolution], *, relu: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.relu = relu

    def forward(self, x: Tensor, skip: Tensor | None = None, z: Tensor | None = None) -> Tensor:
        """(B, C', H', W') from (B, C, H, W).

        Args:
            x: the features, channels last.
            skip: what is added, in the output's shape; without gradients its memory may become the result's.
            z: (B, 1, 1, 1) constant factors; None for ones. Only with a `skip`.
        """
        return self._run(x, skip, z, self.relu)

    def bare(self, x: Tensor) -> Tensor:
        """The convolutions and the ReLUs between them alone."""
        return self._run(x, None, None, relu=False)

    def on(self, chosen: Tensor, x: Tensor, skip: Tensor | None, z: Tensor | None) -> Tensor:
        """The same for the chosen images; relu(skip) for the others.

        Args:
            chosen: (b,) positions of images.
            x: (B, C, H, W), channels last.
            skip: (B, C', H', W'); None for `x`, which is then to be free of negative numbers.
            z: (b, 1, 1, 1) constant factors of the chosen images; None for ones.
        """
        out: Tensor = _Sparse.apply(x, skip, z, chosen, self)
        return out

    def of_chosen(self, chosen: Tensor, x: Tensor, skip: Tensor | None, z: Tensor | None) -> list[Tensor]:
        """What `compute` gives for the chosen images alone; arguments as for `on`."""
        some = take(x, chosen)
        return self.compute(some, some if skip is None else take(skip, chosen), z, relu=self.relu, overwrite=True)

    def _run(self, x: Tensor, skip: Tensor | None, z: Tensor | None, relu: bool) -> Tensor:
        if torch.is_grad_enabled() and (x.requires_grad or (skip is not None and skip.requires_grad)):
            out: Tensor = _Dense.apply(x, skip, z, self, relu)
            return out
        return self.compute(x, skip, z, relu=relu, overwrite=True)[-1]

    @torch.no_grad()
    def compute(
        self, x: Tensor, skip: Tensor | None, z: Tensor | None, *, relu: bool, overwrite: bool = False
    ) -> list[Tensor]:
        """What comes out of each layer, without a graph; `overwrite` allows the last one to use `skip`'s memory."""
        *before, last = self.layers
        seen = []
        for layer in before:
            x = layer(x, relu=True)
            seen.append(x)
        if z is None:
            seen.append(last(x, skip, relu=relu, overwrite=overwrite))
        else:
            assert skip is not None
            out = torch.addcmul(skip, z, last(x, relu=False))
            seen.append(out.relu_() if relu else out)
        return seen

    def gradient(self, gradient: Tensor, hidden: Sequence[Tensor], size: torch.Size, z: Tensor | None) -> Tensor:
        """The input's gradient from that of `skip + z · …`, before the last ReLU.

        Args:
            gradient: (B, C', H', W').
            hidden: what came out of all layers but the last.
            size: of the input.
            z: as in `forward`.
        """
        gradient = gradient if z is None else gradient * z
        layers: list[Convolution] = list(self.layers)  # type: ignore[arg-type]
        for layer, out in zip(layers[:0:-1], reversed(hidden), strict=True):
            gradient = relu_gradient(layer.input_gradient(gradient, out.shape), out, overwrite=True)
        return layers[0].input_gradient(gradient, size)


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's own
        x: Tensor,
        skip: Tensor | None,
        z: Tensor | None,
        chain: Chain,
        relu: bool,
    ) -> Tensor:
        seen = chain.compute(x, skip, z, relu=relu)
        ctx.save_for_backward(*(seen if relu else seen[:-1]))
        ctx.chain, ctx.z, ctx.size, ctx.relu, ctx.identity = chain, z, x.shape, relu, skip is x
        return seen[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (gradient,), hidden, chain = gradients, ctx.saved_tensors, ctx.chain
        if ctx.relu:
            *hidden, out = hidden
            gradient = relu_gradient(gradient, out)
        else:
            gradient = gradient.contiguous(memory_format=torch.channels_last)
        x = chain.gradient(gradient, hidden, ctx.size, ctx.z)
        if ctx.identity:
            return x.add_(gradient), None, None, None, None
        return x, gradient if ctx.needs_input_grad[1] else None, None, None, None


class _Sparse(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        skip: Tensor | None,
        z: Tensor | None,
        chosen: Tensor,
        chain: Chain,
    ) -> Tensor:
        seen = chain.of_chosen(chosen, x, skip, z)
        out = x.clone() if skip is None else skip.relu()
        put(out, chosen, seen[-1])
        # Where the shortcut is the identity, what the others are is kept by whoever made them.
        ctx.save_for_backward(*seen[:-1], seen[-1] if skip is None else out)
        ctx.chain, ctx.z, ctx.chosen, ctx.size, ctx.identity = chain, z, chosen, x.shape, skip is None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        *hidden, out = ctx.saved_tensors
        gradient, chosen = gradients[0].contiguous(memory_format=torch.channels_last), ctx.chosen
        size = torch.Size([len(chosen), *ctx.size[1:]])
        if ctx.identity:
            some = relu_gradient(take(gradient, chosen), out)
            x = gradient.clone()
            put(x, chosen, ctx.chain.gradient(some, hidden, size, ctx.z).add_(some))
            return x, None, None, None, None
        skip = relu_gradient(gradient, out)
        x = gradient.new_zeros(ctx.size).contiguous(memory_format=torch.channels_last)
        put(x, chosen, ctx.chain.gradient(take(skip, chosen), hidden, size, ctx.z))
        return x, skip, None, None, None
