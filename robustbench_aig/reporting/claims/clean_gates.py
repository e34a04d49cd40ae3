"""What claims about gates on clean images rest on: which blocks stay open, and what gates know of classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from robustbench_aig.recipes import SpecificityClaim, TransitionClaim
from robustbench_aig.records import Measurement
from robustbench_aig.reporting.claims.question import Question
from robustbench_aig.reporting.claims.verdicts import Estimate, judge_bound, measurement
from robustbench_aig.reporting.table_columns import Bools, Floats, Ints
from robustbench_aig.statistics import clopper_pearson, jackknife, mean_interval


def measure_transitions(claim: TransitionClaim, asked: Question) -> list[Measurement]:
    """The execution rate of the transition block that is open least on clean images."""
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
    beside = {"the same in the first stage": first(every)}
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
    """(S, N, G) on clean images; None where a network hasn't been measured whole."""
    found = [asked.evidence.clean(model.name, asked.policy) for model in asked.group.gated]
    rows = [one for one in found if one is not None and one.ok.all()]
    return np.stack([one.gates_clean for one in rows]) if len(rows) == len(found) else None
