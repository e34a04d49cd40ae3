"""A fused network from images to logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustbench_aig.models.fused.chain import Chain
from robustbench_aig.models.fused.fused_blocks import Features


class FusedResNet(nn.Module):
    """Stem, residual blocks, pooling and a linear layer.

    Args:
        dtype: of the features.
        before: what is done to the images in float32.
        stem: from images to features.
        pool: behind the stem.
        blocks: from features to features.
        after: behind the last block.
        head: from means to logits, in float32.
    """

    def __init__(
        self,
        dtype: torch.dtype,
        *,
        before: nn.Module,
        stem: Chain,
        pool: nn.Module,
        blocks: Sequence[nn.Module],
        after: nn.Module,
        head: nn.Linear,
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.before, self.stem, self.pool = before, stem, pool
        self.blocks = nn.ModuleList(blocks)
        self.after, self.head = after, head

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) float32 to logits (B, classes) float32."""
        # oneDNN's ReLU makes zeros of NaN; the logits of such an image are to be NaN all the same.
        flaw = x.detach().flatten(1).sum(1, keepdim=True) * 0
        x = self.before(x).to(self.dtype).contiguous(memory_format=torch.channels_last)
        features = Features(self.pool(self.stem(x)))
        for block in self.blocks:
            features = block(features)
        logits: Tensor = self.head(Features(self.after(features.maps)).pooled())
        if len(logits) > len(flaw):  # every pattern of each image
            flaw = flaw.repeat(len(logits) // len(flaw), 1)
        return logits + flaw
