"""Sums over the batches of an epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_aig.distributed import World
from robustbench_aig.training.learner import Outcome


@dataclass(frozen=True)
class Means:
    """Means over images: losses, share of right answers, execution rate of every gate."""

    cross_entropy: float
    divergence: float
    penalty: float
    information: float
    shaping: float
    accuracy: float
    rates: list[float]

    @property
    def loss(self) -> float:
        """The sum that is minimised."""
        return self.cross_entropy + self.divergence + self.penalty + self.information + self.shaping

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

    Attributes:
        sums: (7 + G,) over images: how many, three losses, right answers, decisions, the two losses of the gates'
            dependence on the image; float64, which holds counts exactly.
    """

    def __init__(self, sums: Tensor) -> None:
        self.sums = sums

    @classmethod
    def empty(cls, gates: int, device: torch.device) -> Tally:
        """Of a network with so many gates."""
        return cls(torch.zeros(7 + gates, dtype=torch.float64, device=device))

    def add(self, outcome: Outcome) -> None:
        """Note a batch."""
        count = len(outcome.right)
        losses = torch.stack([outcome.cross_entropy, outcome.divergence, outcome.penalty]).double() * count
        gate_losses = torch.stack([outcome.information, outcome.shaping]).double() * count
        parts = (losses, outcome.right.double().sum().view(1), outcome.decisions.double().sum(0), gate_losses)
        self.sums[0] += count
        self.sums[1:] += torch.cat(parts)

    def means(self, world: World | None = None) -> Means:
        """What has been noted so far, per image; waits for the device.

        Args:
            world: the processes to sum over; None for this one alone.
        """
        sums = self.sums if world is None else world.total(self.sums)
        images, *totals = sums.tolist()
        cross_entropy, divergence, penalty, accuracy, *rates = (total / max(images, 1) for total in totals[:-2])
        information, shaping = (total / max(images, 1) for total in totals[-2:])
        return Means(cross_entropy, divergence, penalty, information, shaping, accuracy, rates)
