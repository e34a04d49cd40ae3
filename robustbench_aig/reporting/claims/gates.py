"""What claims about gates rest on: how they move under attack, which blocks stay open, what they know of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustbench_aig.recipes import MovementClaim, SpecificityClaim, TransitionClaim
from robustbench_aig.records import EvaluationPlan, Measurement, ThreatRecord
from robustbench_aig.reporting.claims.groups import Group
from robustbench_aig.reporting.claims.question import Question
from robustbench_aig.reporting.claims.robustness import named
from robustbench_aig.reporting.claims.verdicts import Estimate, Ruling, judge_bound, measurement
from robustbench_aig.reporting.loading import Evidence
from robustbench_aig.reporting.rows import Bools, Floats, Ints, Rows
from robustbench_aig.statistics import clopper_pearson, jackknife, mean_interval


def measure_movement(claim: MovementClaim, asked: Question) -> list[Measurement]:
    """The share of gates that the attack which moves them most flips, beyond the permuted control; by ball."""
    found, evidence, group = [], asked.evidence, asked.group
    evaluations = [e for e in evidence.finished() if e.policy == asked.policy and named(e.threat, claim, group)]
    for threat in sorted({e.threat for e in evaluations if e.threat}, key=lambda one: one.value):
        moves = _moves(group, [e for e in evaluations if e.threat == threat], evidence)
        if moves:
            found.append(_moved(claim, moves, threat))
    return found


def measure_transitions(claim: TransitionClaim, asked: Question) -> list[Measurement]:
    """The execution rate of the transition block that is open least on unattacked images."""
    opened, group = _decisions(asked), asked.group
    places = [place for place, gate in enumerate(group.gated[0].gates) if gate.transition]
    if opened is None or not places:
        return []
    rates = opened.mean(axis=0)  # (N, G), over seeds
    least = min(places, key=lambda place: float(rates[:, place].mean()))
    interval = mean_interval(rates[:, least], bounds=(0.0, 1.0))
    names = group.gated[0].gates
    beside = {f"block {names[place].name}": float(rates[:, place].mean()) for place in places}
    what = f"execution rate of block {names[least].name}"
    found = Estimate(float(rates[:, least].mean()), *interval, len(rates))
    ruling = judge_bound(found, claim.least, at_least=True, margin=1 - claim.least)
    return [measurement(what, found, ruling, beside=beside)]


def measure_specificity(claim: SpecificityClaim, asked: Question) -> list[Measurement]:
    """The spread of the last stage's execution rates between classes, mean over its gates and the seeds."""
    opened, group = _decisions(asked), asked.group
    clean = asked.evidence.clean(group.gated[0].name, asked.policy)
    if opened is None or clean is None or opened.shape[1] < 2 * claim.groups:
        return []
    # Where stages aren't known, every gate is one of its own.
    stages = [gate.stage or gate.name for gate in group.gated[0].gates]

    def of_stage(stage: int | str) -> Callable[[NDArray[np.int64]], float]:
        places = [place for place, other in enumerate(stages) if other == stage]

        def spread(images: NDArray[np.int64]) -> float:
            each = [class_spread(of_seed[images][:, places], clean.label[images]) for of_seed in opened]
            return float(np.mean(each))

        return spread

    every = np.arange(opened.shape[1])
    last, first = of_stage(stages[-1]), of_stage(stages[0])
    low, high = jackknife(last, every.size, groups=claim.groups)
    unseen = clopper_pearson(0, every.size).high  # that N images can miss may move each rate by as much
    beside = {"the same of the first stage": first(every)}
    what = "standard deviation between classes, last stage"
    found = Estimate(last(every), low - unseen, high + unseen, every.size)
    ruling = judge_bound(found, claim.least, at_least=True, margin=claim.least)
    return [measurement(what, found, ruling, beside=beside)]


def class_spread(opened: Bools, labels: Ints) -> Floats:
    """(G,) standard deviation of execution rates between classes, without what chance adds to it.

    The variance of the classes' rates, less the mean of their sampling variances r (1 - r) / (n - 1); zero where that
    is more.

    Args:
        opened: (N, G) decisions.
        labels: (N,). Classes of a single image are left out.
    """
    classes = [label for label in np.unique(labels) if (labels == label).sum() > 1]
    if len(classes) < 2:
        return np.zeros(opened.shape[1])
    rates = np.stack([opened[labels == label].mean(axis=0) for label in classes])
    counts = np.array([(labels == label).sum() for label in classes])[:, None]
    chance = (rates * (1 - rates) / (counts - 1)).mean(axis=0)
    return np.asarray(np.sqrt(np.maximum(rates.var(axis=0, ddof=1) - chance, 0)))


def _decisions(asked: Question) -> Bools | None:
    """(S, N, G) on unattacked images; None where a network hasn't been measured whole."""
    found = [asked.evidence.clean(model.name, asked.policy) for model in asked.group.gated]
    rows = [one for one in found if one is not None and one.ok.all()]
    return np.stack([one.gates_clean for one in rows]) if len(rows) == len(found) else None


class _Moves(NamedTuple):
    """What an attack did to the gates of a group.

    Attributes:
        attack: its name.
        each: (N,) flipped share of an image's gates, beyond the control's; mean over seeds.
        controlled: a control ran beside it, for every seed.
        whole: no image failed.
    """

    attack: str
    each: Floats
    controlled: bool
    whole: bool


def _moves(group: Group, evaluations: Sequence[EvaluationPlan], evidence: Evidence) -> list[_Moves]:
    """Of every attack, at one strength, that met each network of the group on all images."""
    found = []
    for attack in dict.fromkeys(e.attack for e in evaluations if e.role == "attack"):
        each = [_beyond(model.name, attack, evaluations, evidence) for model in group.gated]
        met = [one for one in each if one is not None]
        if len(met) == len(each):
            mean = np.mean([one.each for one in met], axis=0)
            flags = all(one.controlled for one in met), all(one.whole for one in met)
            found.append(_Moves(attack, mean, *flags))
    return found


def _beyond(model: str, attack: str, evaluations: Sequence[EvaluationPlan], evidence: Evidence) -> _Moves | None:
    """Of one network."""
    met = next((e for e in evaluations if (e.model, e.attack) == (model, attack)), None)
    if met is None or evidence.rows[met.id].skipped.any():
        return None
    rows = evidence.rows[met.id]
    control = evidence.control(met, "permuted") or evidence.control(met, "corners")
    if control is None:
        return _Moves(attack, _flips(rows), controlled=False, whole=bool(rows.ok.all()))
    return _Moves(attack, _flips(rows) - _flips(control), controlled=True, whole=bool((rows.ok & control.ok).all()))


def _flips(rows: Rows) -> Floats:
    """(N,) share of an image's gates that decide otherwise, noise held equal."""
    return np.asarray((rows.gates_clean ^ rows.gates_adv).mean(axis=1), np.float64)


def _moved(claim: MovementClaim, moves: Sequence[_Moves], threat: ThreatRecord) -> Measurement:
    """The attack that moves gates most."""
    worst = max(moves, key=lambda one: float(one.each.mean()))
    interval = mean_interval(worst.each, bounds=(-1.0, 1.0))
    found = Estimate(float(worst.each.mean()), *interval, worst.each.size)
    ruling = judge_bound(found, claim.most, at_least=False, margin=claim.most)
    if not worst.whole:
        ruling = Ruling("inconclusive", "images failed")
    what = f"gates flipped by {worst.attack}" + (
        ", beyond the control" if worst.controlled else "; no control ran beside it"
    )
    return measurement(what, found, ruling, threat=threat, beside={one.attack: float(one.each.mean()) for one in moves})
