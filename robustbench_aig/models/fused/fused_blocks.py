"""Residual blocks of fused networks: what a block computes of features (B, C, H, W), channels last."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from robustbench_aig.gating import BlindGate, Gate, OpenGate
from robustbench_aig.models.fused.chain import Chain
from robustbench_aig.models.fused.row_selection import put


class Features(NamedTuple):
    """What a block takes and gives.

    Attributes:
        maps: (B, C, H, W), channels last.
        means: (B, C) float32 over the pixels, where somebody has them already.
    """

    maps: Tensor
    means: Tensor | None = None

    def pooled(self) -> Tensor:
        """The means (B, C), float32."""
        return pooled(self.maps) if self.means is None else self.means


class PlainBlock(nn.Module):
    """relu(shortcut(x) + branch(x))."""

    def __init__(self, shortcut: Chain | None, branch: Chain) -> None:
        super().__init__()
        self.shortcut, self.branch = shortcut, branch

    def forward(self, features: Features) -> Features:
        """The next features."""
        x = features.maps
        return Features(self.branch(x, x if self.shortcut is None else self.shortcut(x)))


class PreActivationBlock(nn.Module):
    """shortcut(a) + branch(a) with a = before(x); the identity shortcut takes x itself."""

    def __init__(self, before: nn.Module, shortcut: Chain | None, branch: Chain) -> None:
        super().__init__()
        self.before, self.shortcut, self.branch = before, shortcut, branch

    def forward(self, features: Features) -> Features:
        """The next features."""
        x = features.maps
        a = self.before(x)
        return Features(self.branch(a, x if self.shortcut is None else self.shortcut(a)))


class PooledLogits(Gate):
    """The gate's two layers, on means over the pixels; batch-norm is folded in."""

    def __init__(self, fc1: nn.Linear, fc2: nn.Linear) -> None:
        super().__init__()
        self.fc1, self.fc2 = fc1, fc2

    def logits(self, x: Tensor) -> Tensor:
        """(B, 2) from means (B, C), float32."""
        logits: Tensor = self.fc2(self.fc1(x).relu())
        return logits


class GatedBlock(nn.Module):
    """relu(shortcut(x) + z · branch(x)), z decided in float32.

    Args:
        shortcut: None for the identity, which asks for features without negative numbers.
        branch: what the gate decides on, with a ReLU behind the addition.
        gate: `PooledLogits`, an `OpenGate`, or any that computes logits from features.
    """

    def __init__(self, shortcut: Chain | None, branch: Chain, gate: Gate) -> None:
        super().__init__()
        self.shortcut, self.branch, self.gate = shortcut, branch, gate

    def forward(self, features: Features) -> Features:
        """The next features; in sparse execution without gradients with means, if these came along."""
        if isinstance(self.gate, OpenGate):
            return self._open(features.maps)
        if isinstance(self.gate, PooledLogits):
            features = Features(features.maps, features.pooled())
        logits = self.gate.logits(self._seen(features))
        if self.gate.trace is not None and self.gate.trace.patterns is not None:
            self.gate.trace.ask_patterns(logits, self.gate.trace.patterns)
            return Features(self._both(features.maps))
        z = self.gate.decide(logits)
        if self.gate.trace is not None and self.gate.trace.sparse:
            return self._sparse(features, z)
        return Features(self._dense(features.maps, z))

    def _seen(self, features: Features) -> Tensor:
        """What the gate looks at, float32."""
        maps = features.maps
        if isinstance(self.gate, BlindGate):
            return torch.empty(len(maps), 0, device=maps.device)
        return features.pooled() if isinstance(self.gate, PooledLogits) else maps.float()

    def _open(self, x: Tensor) -> Features:
        if self.gate.trace is not None:
            ones = torch.ones(len(x), device=x.device)
            self.gate.trace.record(ones, ones)
        return Features(self._dense(x, None))

    def _dense(self, x: Tensor, z: Tensor | None) -> Tensor:
        """The branch for every image; z (B,), None for ones."""
        skip = x if self.shortcut is None else self.shortcut(x)
        if z is None:
            return self.branch(x, skip)  # type: ignore[no-any-return]
        factor = z.to(x.dtype).view(-1, 1, 1, 1)
        if not z.requires_grad:
            return self.branch(x, skip, factor)  # type: ignore[no-any-return]
        # The gate's gradient needs the branch's output, which the constant forms don't keep.
        return torch.addcmul(skip, factor, self.branch.bare(x)).relu()

    def _both(self, x: Tensor) -> Tensor:
        """What goes on with the gate closed, then with it open: (2S, C', H', W')."""
        skip = x if self.shortcut is None else self.shortcut(x)
        # The closed ones first: without gradients the branch may write into what it is added to.
        return torch.cat([skip.relu(), self.branch(x, skip)])

    def _sparse(self, features: Features, z: Tensor) -> Features:
        """The branch for images with z != 0 alone; z (B,)."""
        x, means = features
        decided: list[float] = z.tolist()  # the one time that the device is waited for
        positions = [position for position, value in enumerate(decided) if value != 0]
        if len(positions) == len(x):
            return Features(self._dense(x, None if not z.requires_grad and set(decided) == {1} else z))
        skip = None if self.shortcut is None else self.shortcut(x)
        if not positions:
            return features if skip is None else Features(skip.relu())
        chosen = torch.tensor(positions, device=x.device)
        if z.requires_grad:
            added = z[chosen].to(x.dtype).view(-1, 1, 1, 1) * self.branch.bare(x.index_select(0, chosen))
            return Features((x if skip is None else skip).index_add(0, chosen, added).relu())
        factor = None if set(decided) <= {0, 1} else z[chosen].to(x.dtype).view(-1, 1, 1, 1)
        if x.requires_grad and torch.is_grad_enabled():
            return Features(self.branch.on(chosen, x, skip, factor))
        out = self.branch.of_chosen(chosen, x, skip, factor)[-1]
        if skip is not None:
            put(skip.relu_(), chosen, out)
            return Features(skip)
        put(x, chosen, out)  # nobody else needs the block's input any more
        return Features(x, None if means is None else means.index_copy_(0, chosen, pooled(out)))


def pooled(x: Tensor) -> Tensor:
    """Mean (B, C) over the pixels of features (B, C, H, W), float32."""
    if torch.is_grad_enabled() and x.requires_grad:
        means: Tensor = _Mean.apply(x)
        return means
    return x.mean((2, 3), dtype=torch.float32)


class _Mean(torch.autograd.Function):
    """The mean over pixels, with a gradient in the features' type and layout."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401 - autograd's own
        ctx.size, ctx.dtype = x.shape, x.dtype
        return x.mean((2, 3), dtype=torch.float32)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401
        height, width = ctx.size[2:]
        spread: Tensor = (gradients[0] / (height * width)).to(ctx.dtype)[:, :, None, None].expand(ctx.size)
        return spread.contiguous(memory_format=torch.channels_last)
