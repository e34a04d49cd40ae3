"""How often each image was classified right, and the accuracy over images with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustbench_aig.records import Accuracy
from robustbench_aig.reporting.rows import Bools, Floats, Ints, Rows
from robustbench_aig.statistics import mean_interval, wilson


@dataclass(frozen=True)
class Scores:
    """Counts of right answers per image. An image that failed or was skipped counts as lost: 0 of its draws.

    Attributes:
        ok: (N,) False for a failed image.
        correct, draws: (N,) right scoring draws, of how many.
        majority: (N,) whether the plurality vote is right.
    """

    ok: Bools
    correct: Ints
    draws: Ints
    majority: Bools

    @classmethod
    def of(cls, rows: Rows) -> Scores:
        """The scores of one evaluation's rows."""
        right = (rows.prediction == rows.label) & rows.ok
        return cls(rows.ok | rows.skipped, np.where(rows.ok, rows.correct, 0), np.maximum(rows.draws, 1), right)

    def of_images(self, chosen: Bools) -> Scores:
        """The scores of some of the images; `chosen` is (N,)."""
        return Scores(self.ok[chosen], self.correct[chosen], self.draws[chosen], self.majority[chosen])

    @property
    def share(self) -> Floats:
        """(N,) share of right draws."""
        return self.correct / self.draws

    @property
    def deterministic(self) -> bool:
        """Whether every image was judged once."""
        return bool((self.draws == 1).all())


def accuracy(scores: Scores) -> Accuracy:
    """The accuracy over N >= 1 images: Wilson on the count, or `mean_interval` over images where draws vary."""
    n = scores.correct.size
    if scores.deterministic:
        count = int(scores.correct.sum())
        low, high = wilson(count, n)
        return Accuracy(value=count / n, low=low, high=high, n=n, draws=1, count=count, interval="wilson")
    low, high = mean_interval(scores.share, bounds=(0.0, 1.0))
    return Accuracy(
        value=float(scores.share.mean()),
        low=low,
        high=high,
        n=n,
        draws=int(scores.draws.max()),
        count=None,
        interval="student",
        majority=float(scores.majority.mean()),
        all_right=float((scores.correct == scores.draws).mean()),
        any_right=float((scores.correct > 0).mean()),
    )
