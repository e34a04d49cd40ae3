"""The differences between two reports, and which of them are more than chance."""

from __future__ import annotations

from math import hypot
from typing import NamedTuple

from pydantic import Field
from scipy.special import ndtri

from robustbench_aig.records import Accuracy, Record, RecordedThreat, Report, Status
from robustbench_aig.reporting.compare.report_pair import Key, Pairing, Side
from robustbench_aig.reporting.gated_vs_plain import paired
from robustbench_aig.reporting.image_scores import Scores
from robustbench_aig.reporting.words import SAME, differs
from robustbench_aig.statistics import LEVEL, Interval


class Measurement(Record):
    """The accuracy of a model under a gate policy and an attack."""

    model: str
    gate_policy: str
    attack: str = Field(description="recipe name, 'clean', 'union', 'jpeg:3' or, for their mean, 'corruptions'")
    provider: str = Field(description="empty for clean images, unions and means")
    threat: RecordedThreat | None


class Change(Measurement):
    """Second minus first, in shares."""

    first: float
    second: float
    paired: bool = Field(description="on the same images; else the two accuracies are taken for independent")
    n: int = Field(description="images of the second report that are compared")
    status: Status = Field(description="error where an image failed; it counts as misclassified")
    difference: float
    low: float = Field(description="of intervals that hold all true changes together with 95 % (Bonferroni)")
    high: float
    only_first: float | None = Field(None, description="images that only the first got right, draws averaged; paired")
    only_second: float | None = None
    p_value: float | None = Field(None, description="exact McNemar; null where a policy is random, or not paired")
    adjusted_p: float | None = Field(None, description="p_value times the number of changes (Bonferroni), at most 1")
    significant: bool = Field(description="the interval excludes 0; never where images failed")
    same: bool = Field(False, description="the same weights on the same images, with the same verdict on each of them")
    other_attacks: bool = Field(False, description="unions over other attacks, which may be why they differ")

    @property
    def reading(self) -> str:
        """What may be said, A being the first and B the second."""
        if self.status == "error":
            return "has failed images"
        if self.same:
            found = "the same"
        elif not self.significant:
            found = SAME
        else:
            found = "B significantly higher" if self.difference > 0 else "B significantly lower"
        return f"{found}, other attacks" if self.other_attacks else found


class _Case(NamedTuple):
    """What two numbers are of, their status, among how many they are, and whether weights and images are the same."""

    what: Measurement
    status: Status
    family: int
    same: bool

    @property
    def confidence(self) -> float:
        """Of each interval, so that all of them together have 95 %."""
        return 1 - LEVEL / self.family


def changes(first: Side, second: Side, pairing: Pairing) -> list[Change]:
    """Everything that both reports say, in the order of the first."""
    ours, theirs = first.accuracies(), second.accuracies()
    both = [key for key in ours if key in theirs]
    our_scores, their_scores = first.scores(), second.scores()
    found = []
    for key in both:
        (before, one), (after, other) = ours[key], theirs[key]
        status: Status = "error" if "error" in {one, other} else "ok"
        case = _Case(measurement(key), status, len(both), _same(first.report, second.report, key[0]))
        scores = (our_scores.get(key[:2], {}).get(key[2]), their_scores.get(key[:2], {}).get(key[2]))
        if scores[0] and scores[1] and pairing.first is not None and pairing.second is not None:
            change = _paired(case, scores[0].of_images(pairing.first), scores[1].of_images(pairing.second))
        else:
            change = _unpaired(case, before, after)
        unlike = first.united(key) != second.united(key)
        found.append(change.model_copy(update={"other_attacks": unlike}))
    return found


def _same(first: Report, second: Report, name: str) -> bool:
    """Whether a network has the same weights, and the same in front of it, and both reports are of the same images."""
    one, other = (next(m for m in report.models if m.name == name) for report in (first, second))
    alike = (one.weights_digest, one.defence) == (other.weights_digest, other.defence)
    return alike and first.data.digest == second.data.digest


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
    """On the same images."""
    found = paired(second, first, confidence=case.confidence)
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
        adjusted_p=None if found.p_value is None else min(1.0, case.family * found.p_value),
        significant=case.status == "ok" and found.differs,
        same=case.same and not found.each.any(),
    )


def _unpaired(case: _Case, first: Accuracy, second: Accuracy) -> Change:
    """Of two accuracies with their intervals, for want of the images; for the family these are widened as normal ones.

    Where the images are the same after all, the interval is too wide rather than too narrow.
    """
    wider = float(ndtri(1 - LEVEL / 2 / case.family) / ndtri(1 - LEVEL / 2))
    low, high = independent_difference(second, first, wider=wider)
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
        significant=case.status == "ok" and differs(low, high),
        same=case.same and first == second,
    )


def independent_difference(first: Accuracy, second: Accuracy, *, wider: float = 1.0) -> Interval:
    """95 % interval of first minus second, from the interval of each; `wider` stretches these.

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in
    Medicine 17, 1998, method 10; for other intervals than Wilson's G. Y. Zou and A. Donner, the same, 27, 2008.
    """
    difference = first.value - second.value
    below = hypot(first.value - first.low, second.high - second.value)
    above = hypot(first.high - first.value, second.value - second.low)
    return Interval(max(difference - wider * below, -1.0), min(difference + wider * above, 1.0))
