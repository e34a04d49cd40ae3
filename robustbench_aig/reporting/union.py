"""The worst case over attacks (per-image union): every image under the attack that is worst for it."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np

from robustbench_aig.recipes.gradients import OBJECTIVES_OF_GATES, STRAIGHT_THROUGH
from robustbench_aig.records import EvaluationPlan, Plan, WorstCase
from robustbench_aig.reporting.evidence import Evidence
from robustbench_aig.reporting.image_scores import Scores, accuracy
from robustbench_aig.reporting.table_columns import Bools, Ints, Rows
from robustbench_aig.statistics import worst_of
from robustbench_aig.threat import Threat

T = TypeVar("T")

_OURS = "aigrob"


class Union(NamedTuple):
    """A union with the scores behind it, which comparisons need."""

    record: WorstCase
    scores: Scores


def unions(evidence: Evidence) -> list[Union]:
    """The union of every (model, policy, threat), in the plan's order.

    An image that an attack skipped is scored under one of those that it was lost to before.

    One that still lacks a planned attack is left out: over fewer attacks a model looks stronger than it is.
    """
    return [
        _union(threat, members, evidence)
        for threat, members in members_of(evidence.plan)
        if all(member.id in evidence.rows for member in members)
    ]


def members_of(plan: Plan) -> list[tuple[Threat, list[EvaluationPlan]]]:
    """Per (model, policy, threat): the clean evaluation, then the attacks. Controls do not count."""
    clean = {(e.model, e.policy): e for e in plan.evaluations if e.role == "clean"}
    grouped: dict[tuple[str, str, Threat], list[EvaluationPlan]] = {}
    for e in plan.evaluations:
        if e.role == "attack" and e.threat is not None and (e.model, e.policy) in clean:
            grouped.setdefault((e.model, e.policy, e.threat), [clean[e.model, e.policy]]).append(e)
    return [(threat, members) for (_, _, threat), members in grouped.items()]


def _union(threat: Threat, members: list[EvaluationPlan], evidence: Evidence) -> Union:
    rows = [evidence.rows[member.id].without_gates() for member in members]
    chosen, ok, scores = _worst(rows)
    others = _others(members, cascade=evidence.plan.cascade)
    # Without gates there is nothing that an attack could know of.
    blind = evidence.plan.cascade or evidence.model(members[0].model).gateless
    strongest = dict.fromkeys((member.attack for member in members), 0)
    for index, member in enumerate(members):
        strongest[member.attack] += int((chosen[ok] == index).sum())
    record = WorstCase(
        model=members[0].model,
        gate_policy=members[0].policy,
        threat=threat,
        attacks=[member.attack for member in members[1:]],
        status="ok" if ok.all() else "error",
        accuracy=accuracy(scores),
        strongest=strongest,
        alone={} if evidence.plan.cascade else _alone(members, rows),
        beyond={} if blind else _beyond(members, rows),
        others_only=[] if others is None else _others_only(rows, others),
        own_accuracy=None if others is None else accuracy(_worst(_pick(rows, ~others)).scores),
    )
    return Union(record, scores)


class _Worst(NamedTuple):
    """Of each image: the evaluation that is worst for it, whether none failed on it, its scores under that one."""

    chosen: Ints
    ok: Bools
    scores: Scores


def _worst(rows: list[Rows]) -> _Worst:
    chosen = _choose(rows)
    ok = np.logical_and.reduce([part.ok | part.skipped for part in rows])
    return _Worst(chosen, ok, _score(rows, chosen, ok))


def _alone(members: list[EvaluationPlan], rows: list[Rows]) -> dict[str, int]:
    """Attack to the images that it alone breaks; an image that is misclassified when clean counts for none."""
    broken = np.stack([part.broken for part in rows])
    once = broken.sum(axis=0) == 1
    return {member.attack: int((own & once).sum()) for member, own in zip(members[1:], broken[1:], strict=True)}


def _beyond(members: list[EvaluationPlan], rows: list[Rows]) -> dict[str, int]:
    """Attack that knows of the gates to the images that it breaks, and no attack that doesn't."""
    aware = np.array([False, *(_knows_gates(member) for member in members[1:])])
    left = ~np.stack([part.broken for part in _pick(rows, ~aware)]).any(axis=0)
    return {
        member.attack: int((part.broken & left).sum())
        for member, part in zip(_pick(members, aware), _pick(rows, aware), strict=True)
    }


def _knows_gates(attack: EvaluationPlan) -> bool:
    """Whether an attack's gradient or objective is other than the deployed network's in one draw."""
    stock = attack.gates_mode in {None, STRAIGHT_THROUGH} and attack.gate_draws == 1
    return not stock or attack.objective in OBJECTIVES_OF_GATES


def _others(members: list[EvaluationPlan], *, cascade: bool) -> Bools | None:
    """(M,) which of the evaluations are attacks of other providers; None where there is nothing to compare.

    That is where all attacks are, or none is, and in a cascade where one of ours came after one of theirs: of what it
    skipped nobody knows whether it would have broken it.
    """
    others = np.array([False, *(member.provider != _OURS for member in members[1:])])
    ours_late = cascade and bool((others[:-1] & ~others[1:]).any())
    return None if others[1:].all() or not others.any() or ours_late else others


def _others_only(rows: list[Rows], others: Bools) -> list[int]:
    """The images that other providers' attacks alone break."""
    broken = np.stack([part.broken for part in rows])
    found: list[int] = rows[0].image[broken[others].any(axis=0) & ~broken[~others].any(axis=0)].tolist()
    return found


def worst(rows: list[Rows]) -> tuple[Ints, Bools]:
    """(N,) index of the evaluation that is worst for each image, and whether the image is lost there."""
    chosen = _choose(rows)
    scores = np.stack([part.choice_score for part in rows])
    return chosen, scores[chosen, np.arange(chosen.size)] < 0.5


def _pick(parts: list[T], which: Bools) -> list[T]:
    return [part for part, wanted in zip(parts, which, strict=True) if wanted]


def _choose(rows: list[Rows]) -> Ints:
    """(N,) index of the evaluation that is worst for each image; one that skipped it isn't."""
    score = np.stack([np.where(part.skipped, np.inf, part.choice_score) for part in rows])
    return worst_of(score, np.stack([part.choice_margin for part in rows]))


def _score(rows: list[Rows], chosen: Ints, ok: Bools) -> Scores:
    """The chosen evaluation's scoring draws; an image that failed under any attack is lost."""
    parts = [Scores.of(part) for part in rows]
    image = np.arange(chosen.size)

    def pick(name: str) -> Ints:
        return np.asarray(np.stack([getattr(part, name) for part in parts])[chosen, image])

    correct = np.where(ok, pick("correct"), 0)
    exact = any(part.exact for part in parts)
    return Scores(ok, correct, pick("draws"), pick("majority").astype(np.bool_) & ok, exact)
