"""Whether gates decide by the image: how much of the variance of their decisions the image explains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robustbench_aig.gateshift import paths
from robustbench_aig.gateshift.arrays import Bools, Floats, Ints
from robustbench_aig.policy_traits import traits
from robustbench_aig.records import Dependence, ExplainedShare, GateDependence, ModelRecord
from robustbench_aig.statistics import Interval, clopper_pearson, jackknife, mean_interval

EXPLAINED = 0.3
"""A gate decides by the image where the image explains at least this share of its decisions' variance …"""

RARER = 0.05
"""… and its rarer decision has at least this share: else it is nearly a constant, whatever explains it."""

_GROUPS = 20
"""Of images, for the jackknife."""

_FEWEST = 3
"""Images, of which the jackknife leaves two: a variance takes as many."""


class Shares(NamedTuple):
    """What the image explains of the decisions' variance: of each gate (G,), NaN of one that never varies; in all."""

    of_gates: Floats
    overall: float


def explained_shares(p: Floats, again: Floats) -> Shares:
    """The share of the variance of decisions that the image explains, Var E[z | x] / Var z.

    Of a decision that is open with probability p(x) the variance is m (1 - m), m being the mean of p, and that of p
    itself is the image's part. An estimate of p has noise of its own, which would count as the image's; the covariance
    over images of two independent estimates has no such part. Both terms are unbiased for any number of draws. In all:
    the sum of the image's parts over gates, over the sum of variances.

    Args:
        p: (N, G) open probabilities, mean over some draws, N >= 2.
        again: (N, G) the same over other draws; `p` itself where nothing is random.
    """
    part, whole = _variances(p, again)
    # 0 / 0 is a gate that never varies, which NaN says.
    with np.errstate(invalid="ignore"):
        return Shares(part / whole, float(part.sum() / whole.sum()))


def dependence(p: Floats, again: Floats, decisions: Bools, gates: Sequence[str]) -> Dependence | None:
    """Which gates decide by the image, and how many paths the images take; None for fewer than three images.

    Args:
        p: (N, G) open probabilities, mean over some draws; decisions themselves where nothing is random.
        again: (N, G) the same over other draws; `p` itself where nothing is random.
        decisions: (N, G) of one draw.
        gates: G names, of those that may decide either way.
    """
    if len(p) < _FEWEST or not gates:
        return None
    found = [_gate(name, p[:, [g]], again[:, [g]]) for g, name in enumerate(gates)]
    deciding, unclear = (sum(gate.by_image is state for gate in found) for state in (True, None))
    possible = 2 * (deciding + unclear) >= len(found)
    return Dependence(
        n=len(p),
        explained=_explained(p, again),
        paths=paths.count(paths.numbered(decisions)).distinct,
        deciding=deciding,
        unclear=unclear,
        looks=True if 2 * deciding >= len(found) else None if possible else False,
        gates=found,
    )


def dependence_of_network(
    model: ModelRecord, policy: str, decisions: Bools, p: Floats | None, again: Floats | None
) -> Dependence | None:
    """The same of a network's gates, but for those that are forced open; None where they can't, or it isn't known.

    Args:
        model: names the gates.
        policy: how they decide.
        decisions: (N, G) of one draw.
        p: (N, G) open probabilities, mean over some draws; asked for where gates draw, None where they aren't known.
        again: (N, G) the same over other draws.
    """
    does, free = traits(policy), model.free_gates
    if not does.chooses or does.leaks or (model.restless and not does.draws):
        return None
    names = [model.gates[place].name for place in free]
    if not does.draws:
        return dependence_of_decisions(decisions[:, free], names)
    if p is None or again is None:
        return None
    return dependence(p[:, free], again[:, free], decisions[:, free], names)


def dependence_of_decisions(decisions: Bools, gates: Sequence[str]) -> Dependence | None:
    """The same of gates that draw nothing: the image explains all that varies."""
    certain = decisions.astype(np.float64)
    return dependence(certain, certain, decisions, gates)


def _variances(p: Floats, again: Floats) -> tuple[Floats, Floats]:
    """(G,) the image's part of the variance of decisions, and the whole of it."""
    pooled = (p + again) / 2
    mean = pooled.mean(axis=0)
    part = ((p - p.mean(axis=0)) * (again - again.mean(axis=0))).sum(axis=0) / (len(p) - 1)
    # The square of an estimated mean is too large by the estimate's variance.
    return part, mean * (1 - mean) + pooled.var(axis=0, ddof=1) / len(p)


def _gate(name: str, p: Floats, again: Floats) -> GateDependence:
    """One gate; p and again (N, 1)."""
    rate = (p + again)[:, 0] / 2
    value = float(rate.mean())
    explained, open_for = _explained(p, again), mean_interval(rate, bounds=(0.0, 1.0))
    # The rarer decision has at most half; its limits are those of either side, whichever is nearer to 0.
    rarer = Interval(min(open_for.low, 1 - open_for.high), min(open_for.high, 1 - open_for.low, 0.5))
    return GateDependence(gate=name, rate=value, explained=explained, by_image=_decides(explained, rarer))


def _decides(explained: ExplainedShare | None, rarer: Interval) -> bool | None:
    """Whether both thresholds are reached, certainly; None where the images are too few to tell."""
    if rarer.high < RARER or (explained is not None and explained.high < EXPLAINED):
        return False
    return True if explained is not None and explained.low >= EXPLAINED and rarer.low >= RARER else None


def _explained(p: Floats, again: Floats) -> ExplainedShare | None:
    """The share in all of some gates, with its interval; None where none of them varies."""
    n, varying = len(p), _variances(p, again)[1].sum() > 0
    if not varying:
        return None
    if p is again or (np.array_equal(p, again) and np.isin(p, (0, 1)).all()):
        return ExplainedShare(value=1.0, low=1.0, high=1.0)

    def share(images: Ints) -> float:
        part, whole = (one.sum() for one in _variances(p[images], again[images]))
        return float(part / whole) if whole > 0 else 0.0

    value, spread = share(np.arange(n)), jackknife(share, n, groups=min(_GROUPS, n))
    # Images that N can miss may decide for certain what others hardly ever do, or not look where others do.
    unseen, mean = clopper_pearson(0, n).high, float((p + again).mean() / 2)
    hidden = unseen * max(mean, 1 - mean) / min(mean, 1 - mean)
    return ExplainedShare(value=value, low=spread.low - unseen * max(value, 0.0), high=min(1.0, spread.high + hidden))
