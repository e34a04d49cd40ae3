"""Sums over the batches of an epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Means:
    """Means over images: losses, share of right answers, execution rate of every gate."""

    cross_entropy: float
    penalty: float
    accuracy: float
    rates: list[float]

    @property
    def loss(self) -> float:
        """The sum that is minimised."""
        return self.cross_entropy + self.penalty

    @property
    def mean_rate(self) -> float | None:
        """Over all gates; None where there is none."""
        return sum(self.rates) / len(self.rates) if self.rates else None

    @property
    def finite(self) -> bool:
        """Whether the training still makes sense."""
        return math.isfinite(self.loss)


class Tally:
    """Kept on the device, so that no step of the training waits for it.

    Args:
        gates: of the network; 0 for a plain one.
        device: of the training.
    """

    def __init__(self, gates: int, device: torch.device) -> None:
        self.images = 0
        self._sums = torch.zeros(3 + gates, device=device)

    def add(self, cross_entropy: Tensor, penalty: Tensor, right: Tensor, decisions: Tensor) -> None:
        """Note a batch.

        Args:
            cross_entropy: its mean, a scalar.
            penalty: its weighted rate loss, a scalar.
            right: (B,), whether the answer was right.
            decisions: (B, G); (B, 0) for a plain network.
        """
        self.images += len(right)
        losses = torch.stack([cross_entropy.detach(), penalty.detach()]).float() * len(right)
        self._sums += torch.cat([losses, right.float().sum().view(1), decisions.detach().float().sum(0)])

    def means(self) -> Means:
        """What has been noted so far, per image; waits for the device."""
        cross_entropy, penalty, accuracy, *rates = (self._sums / max(self.images, 1)).tolist()
        return Means(cross_entropy, penalty, accuracy, rates)
