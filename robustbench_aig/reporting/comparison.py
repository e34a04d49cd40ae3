"""Gated against plain on the same images: paired differences and tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robustbench_aig.records import Accuracies, Comparison, ThreatRecord
from robustbench_aig.reporting.accuracy import Scores, accuracy
from robustbench_aig.reporting.loading import Evidence
from robustbench_aig.reporting.union import Union
from robustbench_aig.statistics import bootstrap_difference, mcnemar


class Condition(NamedTuple):
    """What was done to the images; two results are comparable under the same condition only."""

    attack: str
    provider: str
    threat: ThreatRecord | None


Results = dict[tuple[str, str], dict[Condition, Scores]]
"""(model, policy) -> condition -> scores, in the order in which they are reported."""

CLEAN = Condition("clean", "", None)


def comparisons(evidence: Evidence, unions: list[Union]) -> list[Comparison]:
    """Every (gated model, policy) against every plain model, under every condition that both went through."""
    results = _results(evidence, unions)
    families = {model.name: model.family for model in evidence.plan.models}
    found = []
    for (gated, policy), of_gated in results.items():
        for (plain, _), of_plain in results.items():
            if families[gated] != "gated" or families[plain] != "plain":
                continue
            found += [
                _compare(
                    (gated, policy, plain),
                    condition,
                    (scores, of_plain[condition]),
                    both_right=of_gated[CLEAN].majority & of_plain[CLEAN].majority,
                    seed=evidence.plan.seed,
                )
                for condition, scores in of_gated.items()
                if condition in of_plain
            ]
    return found


def _results(evidence: Evidence, unions: list[Union]) -> Results:
    results: Results = {}
    for e in evidence.finished():
        condition = CLEAN if e.role == "clean" else Condition(e.attack, e.provider, e.threat)
        scores = Scores.of(evidence.rows[e.id])
        results.setdefault((e.model, e.policy), {}).setdefault(condition, scores)
    for union in unions:
        condition = Condition("union", "", union.record.threat)
        results[union.record.model, union.record.gate_policy][condition] = union.scores
    return results


def _compare(
    names: tuple[str, str, str],
    condition: Condition,
    scores: tuple[Scores, Scores],
    *,
    both_right: np.typing.NDArray[np.bool_],
    seed: int,
) -> Comparison:
    """One comparison of (gated, policy, plain) from the scores (gated, plain) of the same images."""
    gated, plain = scores
    difference = gated.share - plain.share
    low, high = bootstrap_difference(gated.share, plain.share, seed=seed)
    only_gated, only_plain = np.maximum(difference, 0).sum(), np.maximum(-difference, 0).sum()
    paired = gated.deterministic and plain.deterministic
    both_correct = None
    if both_right.any():
        both_correct = Accuracies(
            gated=accuracy(gated.of_images(both_right), seed=seed),
            plain=accuracy(plain.of_images(both_right), seed=seed),
        )
    return Comparison(
        gated=names[0],
        gate_policy=names[1],
        plain=names[2],
        attack=condition.attack,
        threat=condition.threat,
        status="ok" if gated.ok.all() and plain.ok.all() else "error",
        n=difference.size,
        difference=float(difference.mean()),
        low=low,
        high=high,
        only_gated=float(only_gated),
        only_plain=float(only_plain),
        p_value=mcnemar(round(only_gated), round(only_plain)) if paired else None,
        both_correct=both_correct,
    )
