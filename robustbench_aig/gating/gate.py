"""The gate of a residual block, after Veit and Belongie (arXiv 1711.11503) and their official code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robustbench_aig.gating.execution import add_gated
from robustbench_aig.gating.policies import Argmax, Sampled
from robustbench_aig.gating.shared import add_shared
from robustbench_aig.gating.trace import Trace

_SAMPLED = Sampled()
_ARGMAX = Argmax()


class Gate(nn.Module):
    """Base of all gates: subclasses compute logits (B, 2) from features; `decide` asks the policy in force.

    Outside a `gating` context a gate samples in training mode and takes its more likely side in eval mode.
    """

    trace: Trace | None = None
    outside: ClassVar[bool] = False
    """Whether it decides amid foreign code, where rows of features can't part."""

    def logits(self, x: Tensor) -> Tensor:
        """Skip and run logits (B, 2) for the features (B, C, H, W) at the block's input."""
        raise NotImplementedError

    def decide(self, logits: Tensor) -> Tensor:
        """The decisions (B,) for logits (B, 2); a foreign network's own gate may call this directly."""
        if self.trace is not None:
            return self.trace.ask(logits)
        return (_SAMPLED if self.training else _ARGMAX).decide(logits, 0, 0)

    def forward(self, x: Tensor, skip: Tensor, residual: Callable[[Tensor], Tensor]) -> Tensor:
        """`skip` + z · residual(x), where z (B,) is the decision for each image; see also `Draws` and `Patterns`."""
        if self.trace is not None and self.trace.patterns is not None:
            self.trace.ask_patterns(self.logits(x), self.trace.patterns)
            return torch.cat([skip, skip + residual(x)])
        if self.trace is not None and self.trace.draws is not None:
            z = self.trace.ask_draws(self.logits(x), self.trace.draws)
            return add_shared(skip, residual, x, z, self.trace.draws)
        z = self.decide(self.logits(x))
        sparse = self.trace is not None and self.trace.sparse
        if sparse and self.training:
            raise RuntimeError("sparse execution needs eval mode: batch-norm must not see a part of the batch")
        return add_gated(skip, residual, x, z, sparse=sparse)


class PooledGate(Gate):
    """Global average pool → FC to `hidden` → batch-norm → ReLU → FC to 2.

    The batch-norm is in the official code, not in the paper. The last layer starts at N(0, 0.001) with bias
    (0.1, 2), so that gates start open with p = sigmoid(1.9) = 0.87.

    Args:
        channels: C of the block's input.
        hidden: width of the hidden layer.
        norm: whether to use the batch-norm.
    """

    def __init__(self, channels: int, *, hidden: int = 16, norm: bool = True) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.norm = nn.BatchNorm1d(hidden) if norm else nn.Identity()
        self.fc2 = nn.Linear(hidden, 2)
        nn.init.normal_(self.fc2.weight, 0, 0.001)
        with torch.no_grad():
            self.fc2.bias.copy_(torch.tensor([0.1, 2.0]))

    def logits(self, x: Tensor) -> Tensor:
        """(B, 2) from features (B, C, H, W)."""
        hidden: Tensor = self.norm(self.fc1(pooled(x))).relu()
        logits: Tensor = self.fc2(hidden)
        return logits


def pooled(x: Tensor) -> Tensor:
    """Mean (B, C) of features (B, C, H, W) over their pixels."""
    mean: Tensor = _Pooled.apply(x) if x.stride(1) == 1 else x.mean((2, 3))
    return mean


class _Pooled(torch.autograd.Function):
    """The mean over pixels, with a gradient that is laid out like the features.

    That of `mean` is expanded, and to add such a one to the block's own takes three times as long where channels come
    last: a seventh of a training step.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.mean((2, 3))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ANN401, ARG004 - torch's own
        ctx.shape = inputs[0].shape

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401
        height, width = ctx.shape[2:]
        spread: Tensor = (gradients[0] / (height * width))[:, :, None, None].expand(ctx.shape)
        return spread.contiguous(memory_format=torch.channels_last)


class OpenGate(Gate):
    """A gate that is forced open under every policy: the block's target rate is 1."""

    def forward(self, x: Tensor, skip: Tensor, residual: Callable[[Tensor], Tensor]) -> Tensor:
        """`skip` + residual(x); recorded as p = z = 1."""
        if self.trace is not None:
            ones = x.new_ones(len(x))
            ones = ones if self.trace.draws is None else self.trace.draws.each(ones)
            self.trace.record(ones, ones)
        return skip + residual(x)


class BlindGate(Gate):
    """A gate that doesn't look: open with the same probability for every image, as in stochastic depth.

    Args:
        rate: the probability, in (0, 1]; at 1 the gate is open under every draw.
    """

    fixed: Tensor

    def __init__(self, rate: float) -> None:
        super().__init__()
        # The rate is a setting of the recipe, so it isn't stored with the weights. 30 stands for infinity.
        difference = torch.tensor(rate).logit().clamp(-30, 30)
        self.register_buffer("fixed", torch.stack([-difference / 2, difference / 2]), persistent=False)

    def logits(self, x: Tensor) -> Tensor:
        """(B, 2), the same row for every image."""
        return self.fixed.to(x.dtype).expand(len(x), 2)
