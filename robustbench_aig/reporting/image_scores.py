"""How often each image was classified right, and the accuracy over images with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustbench_aig.records import EXACT, Accuracy
from robustbench_aig.reporting.table_columns import Bools, Floats, Ints, Rows
from robustbench_aig.statistics import mean_interval, wilson

TIMES = (1, 2, 3, 5, 10)
"""How often an attacker may ask a random network, who has won where one answer is wrong."""


@dataclass(frozen=True)
class Scores:
    """Right answers per image. An image that failed or was skipped counts as misclassified: 0 of its draws.

    Attributes:
        ok: (N,) False for a failed image.
        correct, draws: (N,) right scoring draws, of how many; where all is exact the probability of a right answer,
            of 1.
        majority: (N,) whether the plurality vote is right; of exact answers the likeliest one.
        exact: whether `correct` are probabilities.
    """

    ok: Bools
    correct: Floats | Ints
    draws: Ints
    majority: Bools
    exact: bool = False

    @classmethod
    def of(cls, rows: Rows) -> Scores:
        """The scores of one evaluation's rows."""
        right = (rows.prediction == rows.label) & rows.ok
        exact = bool((rows.draws == 0).any())
        correct = np.where(rows.ok, rows.p_correct if exact else rows.correct, 0)
        return cls(rows.ok | rows.skipped, correct, np.maximum(rows.draws, 1), right, exact)

    def of_images(self, chosen: Bools) -> Scores:
        """The scores of some of the images; `chosen` is (N,)."""
        return Scores(self.ok[chosen], self.correct[chosen], self.draws[chosen], self.majority[chosen], self.exact)

    @property
    def share(self) -> Floats:
        """(N,) share of right draws, or the probability of a right answer."""
        return np.asarray(self.correct / self.draws)

    def when_asked(self, times: int) -> Floats:
        """(N,) probability that so many answers are all right, an unbiased estimate where draws were counted.

        C(correct, k) / C(draws, k): the share of all sets of k draws that are right throughout. Exact, the k-th power.
        """
        if self.exact:
            return np.asarray(self.correct**times, dtype=np.float64)
        found = np.ones(self.correct.size)
        for draw in range(times):
            found *= np.maximum(self.correct - draw, 0) / (self.draws - draw)
        return found

    @property
    def deterministic(self) -> bool:
        """Whether every image was judged once."""
        return bool((self.draws == 1).all()) and not self.exact


def accuracy(scores: Scores) -> Accuracy:
    """The accuracy over N >= 1 images: Wilson on the count, or `mean_interval` over images where answers vary."""
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
        draws=EXACT if scores.exact else int(scores.draws.max()),
        count=None,
        interval="student",
        majority=float(scores.majority.mean()),
        all_right=None if scores.exact else float((scores.correct == scores.draws).mean()),
        any_right=None if scores.exact else float((scores.correct > 0).mean()),
        when_asked={
            times: float(scores.when_asked(times).mean())
            for times in TIMES
            if scores.exact or times <= int(scores.draws.min())
        },
    )
