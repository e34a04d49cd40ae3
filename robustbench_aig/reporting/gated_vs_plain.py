"""Gated against plain on the same images: paired differences and tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robustbench_aig.records import Accuracies, Comparison, ModelRecord, Status
from robustbench_aig.reporting.corruptions import ALL, Mean
from robustbench_aig.reporting.evidence import Evidence
from robustbench_aig.reporting.image_scores import Scores, accuracy
from robustbench_aig.reporting.table_columns import Floats
from robustbench_aig.reporting.union import Union
from robustbench_aig.statistics import (
    CONFIDENCE,
    EQUIVALENCE_CONFIDENCE,
    Equivalence,
    Interval,
    detectable_difference,
    equivalence_of,
    holm,
    mcnemar,
    mean_interval,
    paired_interval,
)
from robustbench_aig.threat import Threat

FAMILY = "all comparisons of the report that have an exact p-value"
"""Over which p-values are adjusted: every condition of every gated model against every plain one."""


class Condition(NamedTuple):
    """What was done to the images; two results are comparable under the same condition only."""

    attack: str
    provider: str
    threat: Threat | None


Results = dict[tuple[str, str], dict[Condition, Scores]]
"""(model, policy) -> condition -> scores, in the order in which they are reported."""

CLEAN = Condition("clean", "", None)


class Paired(NamedTuple):
    """The difference of two results on the same images, in shares.

    Attributes:
        each: (N,) per image, draws averaged.
        value, low, high: the mean with its interval over images, by `interval_of`.
        p_value: of the exact McNemar test; None where a policy is random.
        status: "error" where an image failed.
    """

    each: Floats
    value: float
    low: float
    high: float
    p_value: float | None
    status: Status

    @property
    def gained(self) -> float:
        """Images that only the first got right."""
        return float(np.maximum(self.each, 0).sum())

    @property
    def lost(self) -> float:
        """Images that only the second got right."""
        return float(np.maximum(-self.each, 0).sum())

    @property
    def differs(self) -> bool:
        """Whether it is significantly different from zero: whether the interval excludes it."""
        return Interval(self.low, self.high).excludes(0)

    @property
    def detectable(self) -> float | None:
        """The smallest difference that so many images, as discordant as these, show with 80 % power."""
        return detectable_difference(self.each.size, float((self.each**2).mean()), exact=self.p_value is not None)


def paired(first: Scores, second: Scores, *, confidence: float = CONFIDENCE) -> Paired:
    """First minus second; `confidence` is of the interval."""
    each = first.share - second.share
    exact = first.deterministic and second.deterministic
    low, high = interval_of(each, exact=exact, confidence=confidence)
    return Paired(
        each,
        float(each.mean()),
        low,
        high,
        mcnemar(*_discordant(each)) if exact else None,
        "ok" if first.ok.all() and second.ok.all() else "error",
    )


def interval_of(each: Floats, *, exact: bool, confidence: float = CONFIDENCE) -> Interval:
    """The interval of a mean difference, which every word on it follows; the one rule of all that compares.

    Args:
        each: (N,) differences of the shares of right draws.
        exact: whether nothing is random, each being -1, 0 or 1: then it excludes 0 exactly where McNemar's exact test
            rejects at the level that `confidence` leaves.
        confidence: share of samples whose interval is to hold the truth.
    """
    if exact:
        return paired_interval(*_discordant(each), each.size, confidence=confidence)
    return mean_interval(each, bounds=(-1.0, 1.0), confidence=confidence)


def _discordant(each: Floats) -> tuple[int, int]:
    """Images that only the first, and only the second, got right."""
    return int((each > 0).sum()), int((each < 0).sum())


def equivalence(found: Paired) -> Equivalence:
    """What a difference amounts to at a margin of one point."""
    within = interval_of(found.each, exact=found.p_value is not None, confidence=EQUIVALENCE_CONFIDENCE)
    return equivalence_of(within, differs=found.differs)


def comparisons(evidence: Evidence, results: Results) -> list[Comparison]:
    """Every (gated model, policy) against every plain model behind the same defence, under every common condition.

    P-values are adjusted over all of them that have one.
    """
    models = {model.name: model for model in evidence.plan.models}
    found = []
    for (gated, policy), of_gated in results.items():
        for (plain, _), of_plain in results.items():
            if not _comparable(models[gated], models[plain]):
                continue
            found += [
                _compare(
                    (gated, policy, plain),
                    condition,
                    (scores, of_plain[condition]),
                    both_right=of_gated[CLEAN].majority & of_plain[CLEAN].majority,
                )
                for condition, scores in of_gated.items()
                if condition in of_plain
            ]
    return _adjusted(found)


def _comparable(first: ModelRecord, second: ModelRecord) -> bool:
    """Whether the one is gated, the other plain, and nothing else stands before one of them."""
    return (first.family, second.family) == ("gated", "plain") and first.defence == second.defence


def _adjusted(found: list[Comparison]) -> list[Comparison]:
    """The same with `holm_p`, over `FAMILY`."""
    adjusted = iter(holm(FAMILY, [one.p_value for one in found if one.p_value is not None]).p_values)
    return [one.model_copy(update={"holm_p": next(adjusted)}) if one.p_value is not None else one for one in found]


def results_of(evidence: Evidence, unions: list[Union], means: list[Mean]) -> Results:
    """The scores of all finished evaluations and unions, and of the mean over all corruptions.

    The accuracy on images that earlier attacks had not broken says nothing of the attack alone, and depends on the
    others differently for each model: an evaluation that skipped images is left out.
    """
    results: Results = {}
    for e in evidence.finished():
        rows = evidence.rows[e.id]
        if rows.skipped.any():
            continue
        condition = CLEAN if e.role == "clean" else Condition(e.attack, e.provider, e.threat)
        results.setdefault((e.model, e.policy), {}).setdefault(condition, Scores.of(rows))
    for union in unions:
        condition = Condition("union", "", union.record.threat)
        results[union.record.model, union.record.gate_policy][condition] = union.scores
    for mean in means:
        if mean.record.name is None:
            results[mean.record.model, mean.record.gate_policy][Condition(ALL, "", None)] = mean.scores
    return results


def _compare(
    names: tuple[str, str, str],
    condition: Condition,
    scores: tuple[Scores, Scores],
    *,
    both_right: np.typing.NDArray[np.bool_],
) -> Comparison:
    """One comparison of (gated, policy, plain) from the scores (gated, plain) of the same images."""
    gated, plain = scores
    found = paired(gated, plain)
    both_correct = None
    if both_right.any():
        both_correct = Accuracies(
            gated=accuracy(gated.of_images(both_right)),
            plain=accuracy(plain.of_images(both_right)),
        )
    return Comparison(
        gated=names[0],
        gate_policy=names[1],
        plain=names[2],
        attack=condition.attack,
        threat=condition.threat,
        status=found.status,
        n=found.each.size,
        difference=found.value,
        low=found.low,
        high=found.high,
        only_gated=found.gained,
        only_plain=found.lost,
        p_value=found.p_value,
        equivalence=equivalence(found) if found.status == "ok" else None,
        detectable=found.detectable if found.status == "ok" else None,
        both_correct=both_correct,
    )
