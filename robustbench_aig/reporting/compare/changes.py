"""The differences between two reports, and which of them are more than chance."""

from __future__ import annotations

from math import hypot
from typing import NamedTuple

from pydantic import Field
from scipy.special import ndtri

from robustbench_aig.records import Accuracy, Record, Status, ThreatRecord
from robustbench_aig.reporting.accuracy import Scores
from robustbench_aig.reporting.compare.sides import Key, Pairing, Side
from robustbench_aig.reporting.comparison import paired
from robustbench_aig.statistics import LEVEL, RESAMPLES, Interval, bootstrap_difference, holm

FAMILY = "all changes between the two reports"
"""What significance is over."""


class Measurement(Record):
    """The accuracy of a model under a gate policy and an attack."""

    model: str
    gate_policy: str
    attack: str = Field(description="recipe name, 'clean', 'union', 'jpeg:3' or, for their mean, 'corruptions'")
    provider: str = Field(description="empty for clean images, unions and means")
    threat: ThreatRecord | None


class Change(Measurement):
    """Second minus first, in shares."""

    first: float
    second: float
    paired: bool = Field(description="on the same images; else the two accuracies are taken for independent")
    n: int = Field(description="images of the second report that are compared")
    status: Status = Field(description="error where an image failed; it counts as lost")
    difference: float
    low: float = Field(description="95 % interval of this difference alone")
    high: float
    only_first: float | None = Field(None, description="images that only the first got right, draws averaged; paired")
    only_second: float | None = None
    p_value: float | None = Field(None, description="exact McNemar; null where a policy is random, or not paired")
    holm_p: float | None = Field(None, description="p_value after Holm, over all changes")
    significant: bool = Field(description="at 5 % over all changes together; never where images failed")
    other_attacks: bool = Field(False, description="unions over other attacks, which may be why they differ")

    @property
    def reading(self) -> str:
        """What may be said, A being the first and B the second."""
        if self.status == "error":
            return "has failed images"
        if self.paired and not self.only_first and not self.only_second:
            found = "the same on every image"
        elif not self.significant:
            found = "not distinguishable"
        else:
            found = "B keeps more" if self.difference > 0 else "B keeps less"
        return f"{found}, other attacks" if self.other_attacks else found


class _Case(NamedTuple):
    """One thing that both reports measured, and among how many."""

    what: Measurement
    status: Status
    family: int
    seed: int


def changes(first: Side, second: Side, pairing: Pairing) -> list[Change]:
    """Everything that both reports say, in the order of the first."""
    ours, theirs = first.accuracies(), second.accuracies()
    both = [key for key in ours if key in theirs]
    our_scores, their_scores = first.scores(), second.scores()
    found = []
    for key in both:
        (before, one), (after, other) = ours[key], theirs[key]
        status: Status = "error" if "error" in {one, other} else "ok"
        case = _Case(measurement(key), status, len(both), first.report.seed)
        scores = (our_scores.get(key[:2], {}).get(key[2]), their_scores.get(key[:2], {}).get(key[2]))
        if scores[0] and scores[1] and pairing.first is not None and pairing.second is not None:
            change = _paired(case, scores[0].of_images(pairing.first), scores[1].of_images(pairing.second))
        else:
            change = _unpaired(case, before, after)
        unlike = first.united(key) != second.united(key)
        found.append(change.model_copy(update={"other_attacks": unlike}))
    return _adjusted(found)


def measurement(key: Key) -> Measurement:
    """What a key stands for."""
    model, policy, condition = key
    return Measurement(
        model=model,
        gate_policy=policy,
        attack=condition.attack,
        provider=condition.provider,
        threat=condition.threat,
    )


def _paired(case: _Case, first: Scores, second: Scores) -> Change:
    """On the same images. Where a policy is random: significant by an interval that allows for the whole family.

    That is Bonferroni's, which rejects less than Holm's would; so do the exact tests beside it (`_adjusted`).
    """
    found = paired(second, first, seed=case.seed)
    significant = False
    if found.p_value is None and found.differs and case.status == "ok":
        strict = bootstrap_difference(
            second.share,
            first.share,
            seed=case.seed,
            resamples=max(RESAMPLES, 400 * case.family),  # ten in each tail
            confidence=1 - LEVEL / case.family,
        )
        significant = _excludes_zero(strict)
    return Change(
        **dict(case.what),
        first=float(first.share.mean()),
        second=float(second.share.mean()),
        paired=True,
        n=found.each.size,
        status=case.status,
        difference=found.value,
        low=found.low,
        high=found.high,
        only_first=found.lost,
        only_second=found.gained,
        p_value=found.p_value,
        significant=significant,
    )


def _unpaired(case: _Case, first: Accuracy, second: Accuracy) -> Change:
    """Of two accuracies with their intervals, for want of the images; for the family these are widened as normal ones.

    Where the images are the same after all, the interval is too wide rather than too narrow.
    """
    wider = float(ndtri(1 - LEVEL / 2 / case.family) / ndtri(1 - LEVEL / 2))
    low, high = independent_difference(second, first)
    return Change(
        **dict(case.what),
        first=first.value,
        second=second.value,
        paired=False,
        n=second.n,
        status=case.status,
        difference=second.value - first.value,
        low=low,
        high=high,
        significant=case.status == "ok" and _excludes_zero(independent_difference(second, first, wider=wider)),
    )


def independent_difference(first: Accuracy, second: Accuracy, *, wider: float = 1.0) -> Interval:
    """95 % interval of first minus second, from the interval of each; `wider` stretches these.

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in
    Medicine 17, 1998, method 10; for other intervals than Wilson's G. Y. Zou and A. Donner, the same, 27, 2008.
    """
    difference = first.value - second.value
    below = hypot(first.value - first.low, second.high - second.value)
    above = hypot(first.high - first.value, second.value - second.low)
    return Interval(difference - wider * below, difference + wider * above)


def _adjusted(found: list[Change]) -> list[Change]:
    """The same with `holm_p` and what follows from it.

    What has no p-value takes part as 1, which makes the others' larger, never smaller.
    """
    adjusted = holm(FAMILY, [1.0 if one.p_value is None else one.p_value for one in found]).p_values
    return [
        one
        if one.p_value is None
        else one.model_copy(update={"holm_p": p, "significant": p < LEVEL and one.status == "ok"})
        for one, p in zip(found, adjusted, strict=True)
    ]


def _excludes_zero(interval: Interval) -> bool:
    return not interval.low <= 0 <= interval.high
