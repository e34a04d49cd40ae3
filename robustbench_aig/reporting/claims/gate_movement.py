"""What claims about the movement of gates under attack rest on: the mean over gates, and the gate that moves most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robustbench_aig.recipes import MovementClaim
from robustbench_aig.records import EvaluationPlan, Measurement
from robustbench_aig.reporting.claims.groups import Group
from robustbench_aig.reporting.claims.question import Question
from robustbench_aig.reporting.claims.robustness import named
from robustbench_aig.reporting.claims.verdicts import Estimate, Ruling, judge_bound, measurement
from robustbench_aig.reporting.evidence import Evidence
from robustbench_aig.reporting.table_columns import Floats, Rows
from robustbench_aig.reporting.words import attack_text, listing
from robustbench_aig.statistics import largest_mean, mean_interval
from robustbench_aig.threat import Threat

_BOUNDS = (-1.0, 1.0)
"""What a gate may flip more, or less, often than under the control."""


def measure_movement(claim: MovementClaim, asked: Question) -> list[Measurement]:
    """By ball: the share of gates that the attack which moves them most flips, then the gate that any flips most.

    Both beyond the control. A mean over many gates that no image moves hides one that every image does.
    """
    found, evidence, group = [], asked.evidence, asked.group
    evaluations = [e for e in evidence.finished() if e.policy == asked.policy and named(e.threat, claim, group)]
    for threat in sorted({e.threat for e in evaluations if e.threat}, key=lambda one: one.value):
        moves = _moves(group, [e for e in evaluations if e.threat == threat], evidence)
        if moves:
            found += [_in_the_mean(claim, moves, threat), _of_one_gate(claim, moves, threat, group)]
    return found


@dataclass(frozen=True)
class _Moves:
    """What an attack did to the gates of a group.

    Attributes:
        attack: its name.
        flips: (S, N, G) 1 where a gate decides otherwise, less the same of the control, over S networks.
        control: what ran beside it, for every network, and is subtracted; None where a network lacks it.
        whole: no image failed.
    """

    attack: str
    flips: Floats
    control: str | None
    whole: bool

    @property
    def each(self) -> Floats:
        """(N,) share of an image's gates, mean over networks."""
        return np.asarray(self.flips.mean(axis=(0, 2)), np.float64)

    def __str__(self) -> str:
        beyond = f", beyond {self.control}" if self.control else "; its control was not run"
        return f"{attack_text(self.attack)}{beyond}"


def _moves(group: Group, evaluations: Sequence[EvaluationPlan], evidence: Evidence) -> list[_Moves]:
    """Of every attack, on accuracy or compute, at one strength, that met each network of the group on all images."""
    found = []
    for attack in dict.fromkeys(e.attack for e in evaluations if e.role in {"attack", "compute"}):
        each = [_beyond(model.name, attack, evaluations, evidence) for model in group.gated]
        met = [one for one in each if one is not None]
        if len(met) == len(each):
            flips = np.stack([one.flips[0] for one in met])
            controls = dict.fromkeys(one.control or "" for one in met)
            control = None if "" in controls else listing([*controls])
            found.append(_Moves(attack, flips, control, whole=all(one.whole for one in met)))
    return found


def _beyond(model: str, attack: str, evaluations: Sequence[EvaluationPlan], evidence: Evidence) -> _Moves | None:
    """Of one network."""
    met = next((e for e in evaluations if (e.model, e.attack) == (model, attack)), None)
    if met is None or evidence.rows[met.id].skipped.any():
        return None
    rows = evidence.rows[met.id]
    for name in ("permuted", "corners"):
        control = evidence.control(met, name)
        if control is not None:
            flips = _flips(rows) - _flips(control)
            return _Moves(attack, flips[None], attack_text(name), whole=bool((rows.ok & control.ok).all()))
    return _Moves(attack, _flips(rows)[None], None, whole=bool(rows.ok.all()))


def _flips(rows: Rows) -> Floats:
    """(N, G) whether a gate decides otherwise, noise held equal."""
    return np.asarray(rows.gates_clean ^ rows.gates_adv, np.float64)


def _in_the_mean(claim: MovementClaim, moves: Sequence[_Moves], threat: Threat) -> Measurement:
    """Over gates, by the attack that moves them most."""
    worst = max(moves, key=lambda one: float(one.each.mean()))
    found = Estimate(float(worst.each.mean()), *mean_interval(worst.each, bounds=_BOUNDS), worst.each.size)
    return measurement(
        f"share of gates flipped by {worst}",
        found,
        _ruling(found, claim.most, claim, moves),
        threat=threat,
        beside={one.attack: float(one.each.mean()) for one in moves},
        attacks=[one.attack for one in moves],
    )


def _of_one_gate(claim: MovementClaim, moves: Sequence[_Moves], threat: Threat, group: Group) -> Measurement:
    """The gate that any attack flips most, of any network; its interval holds whichever gate and attack that is."""
    flips = np.stack([one.flips for one in moves])  # (A, S, N, G)
    _, networks, images, gates = flips.shape
    means = flips.mean(axis=2)
    attack, network, gate = (int(place) for place in np.unravel_index(int(means.argmax()), means.shape))
    interval = largest_mean(flips.transpose(2, 0, 1, 3).reshape(images, -1), bounds=_BOUNDS)
    found = Estimate(float(means[attack, network, gate]), *interval, images)
    names = [f"block {one.name}" for one in group.gated[network].gates]
    which = f"{names[gate]}{f' of {group.gated[network].name}' if networks > 1 else ''}"
    return measurement(
        f"flip rate of {which}, the highest of {networks * gates} gates, by {moves[attack]}",
        found,
        _ruling(found, claim.most_of_any, claim, moves),
        threat=threat,
        beside=dict(zip(names, means[attack, network].tolist(), strict=True)),
        attacks=[one.attack for one in moves],
    )


def _ruling(found: Estimate, most: float, claim: MovementClaim, moves: Sequence[_Moves]) -> Ruling:
    """By one of the claim's limits; too few images for the smaller one are too few for the sentence."""
    if not all(one.whole for one in moves):
        return Ruling("inconclusive", "images failed")
    return judge_bound(found, most, at_least=False, margin=min(claim.most, claim.most_of_any))
