"""What claims about accuracy rest on: gated against plain on the same images, clean and attacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from robustbench_aig.policy_traits import DETERMINISTIC, PLAIN, traits
from robustbench_aig.recipes import AccuracyClaim, RobustnessClaim, Strengths
from robustbench_aig.records import Measurement, ModelRecord
from robustbench_aig.reporting.claims.groups import Group
from robustbench_aig.reporting.claims.question import Question
from robustbench_aig.reporting.claims.verdicts import Contest, Estimate, Ruling, judge_bound, judge_contest, measurement
from robustbench_aig.reporting.gated_vs_plain import CLEAN, Condition, Results, interval_of
from robustbench_aig.reporting.image_scores import Scores
from robustbench_aig.reporting.table_columns import Bools, Floats
from robustbench_aig.reporting.words import attack_text, listing
from robustbench_aig.statistics import MARGIN, seed_difference
from robustbench_aig.statistics.seeds import FEWEST_SEEDS
from robustbench_aig.threat import Threat

_SEVERAL = 3
"""Fewer budgets are not any budget."""


@dataclass(frozen=True)
class Side:
    """Networks of one recipe under one condition, over S training seeds and N images.

    Attributes:
        share: (S, N) of right draws.
        majority: (S, N) whether the plurality vote is right.
        ok: whether no image failed.
        exact: whether nothing was random.
    """

    share: Floats
    majority: Bools
    ok: bool
    exact: bool

    @classmethod
    def of(cls, models: Sequence[ModelRecord], policy: str, condition: Condition, results: Results) -> Side | None:
        """None where one of them hasn't been measured, or there are none."""
        found = [results.get((model.name, policy), {}).get(condition) for model in models]
        scores = [one for one in found if one is not None]
        return cls._stacked(scores) if scores and len(scores) == len(found) else None

    @classmethod
    def _stacked(cls, scores: Sequence[Scores]) -> Side:
        return cls(
            np.stack([one.share for one in scores]),
            np.stack([one.majority for one in scores]),
            all(bool(one.ok.all()) for one in scores),
            all(one.deterministic for one in scores),
        )


def measure_robustness(claim: RobustnessClaim, asked: Question) -> list[Measurement]:
    """The gap at every strength that the claim names and that was measured; largest epsilon last."""
    defence = asked.group.defence
    if claim.defence != (defence.kind if defence else None):
        return []
    of_gated = asked.results.get((asked.group.gated[0].name, asked.policy), {})
    conditions = [c for c in of_gated if c.attack == claim.attack and _named(c.threat, claim, asked.group)]
    among = _compared_on(asked)
    if among is None:
        return []
    found = [_at(condition, claim, asked, among) for condition in sorted(conditions, key=_size)]
    return [one for one in found if one is not None]


def _attacks(claim: RobustnessClaim, asked: Question, threat: Threat | None) -> list[str]:
    """What could have refuted a claim on every attack at one strength: the union's."""
    named = [e.attack for e in asked.evidence.finished() if (e.role, e.threat) == ("attack", threat)]
    return list(dict.fromkeys(named)) if claim.of_every_attack else []


def measure_accuracy(claim: AccuracyClaim, asked: Question) -> list[Measurement]:
    """The gap on clean images."""
    sides = _sides(asked, asked.policy, CLEAN)
    if sides is None:
        return []
    gap = gap_of(*sides, paired=asked.group.paired, seed=asked.seed)
    ruling = judge_bound(gap, -claim.tolerance, at_least=True, margin=claim.tolerance)
    if not (sides[0].ok and sides[1].ok):
        ruling = Ruling("inconclusive", "images failed")
    return [measurement("gated − plain, clean", gap, ruling)]


def named(threat: Threat | None, strengths: Strengths, group: Group) -> bool:
    """Whether a ball is one of those that a claim is judged in."""
    return threat is not None and threat in _listed(strengths, group)


def unmeasured(claim: Strengths, group: Group, found: Sequence[Measurement]) -> str | None:
    """What a claim must be measured at besides before it can be supported, in words; None where nothing lacks."""
    met = {one.threat for one in found}
    if isinstance(claim, RobustnessClaim) and claim.every_strength:
        more = _SEVERAL - len(met)
        return f"at {more} more perturbation budget{'s' * (more > 1)}" if more > 0 else None
    missing = [one.eps for one in _listed(claim, group) if one not in met]
    return f"at {listing(missing)}" if missing else None


def _listed(strengths: Strengths, group: Group) -> list[Threat]:
    """The balls that a claim is judged in: those that suit the images, where that was measured."""
    budgets = group.plain[0].budgets if group.plain else None  # of the first seed
    if budgets:
        return budgets
    listed = strengths.hardened if group.hardened else strengths.undefended
    return [Threat.parse(eps) for eps in listed]


def gap_of(first: Side, second: Side, *, paired: bool, seed: int, among: Bools | None = None) -> Estimate:
    """First minus second: over seeds from three on, else for these networks, whose scores are averaged.

    Args:
        first: (S, N).
        second: (S', N), of the same images.
        paired: row s of both has the same seed.
        seed: of the resampling over seeds.
        among: (N,) the images that count; all by default.
    """
    chosen = np.ones(first.share.shape[1], bool) if among is None else among
    ours, theirs = first.share[:, chosen], second.share[:, chosen]
    each = ours.mean(axis=0) - theirs.mean(axis=0)
    if min(len(ours), len(theirs)) >= FEWEST_SEEDS and each.size > 1:
        interval = seed_difference(ours, theirs, paired=paired, seed=seed).interval
    else:
        interval = interval_of(each, exact=first.exact and second.exact and len(ours) == len(theirs) == 1)
    assert interval is not None
    low, high = interval
    return Estimate(float(each.mean()), low, high, each.size, float((each**2).mean()))


def _named(threat: Threat | None, claim: RobustnessClaim, group: Group) -> bool:
    return threat is not None if claim.every_strength else named(threat, claim, group)


def _size(condition: Condition) -> tuple[str, float]:
    return (condition.threat.norm, condition.threat.value) if condition.threat else ("", 0.0)


def _sides(asked: Question, policy: str, condition: Condition) -> tuple[Side, Side] | None:
    """Gated and plain networks under one condition; None where either is not measured."""
    gated = Side.of(asked.group.gated, policy, condition, asked.results)
    plain = Side.of(asked.group.plain, PLAIN, condition, asked.results)
    return (gated, plain) if gated and plain else None


class _Among(NamedTuple):
    """The images that a gap is taken over, and why.

    Attributes:
        images: (N,) which.
        words: what they are called.
        fair: whether no network among those compared has less to lose on them.
    """

    images: Bools
    words: str
    fair: bool = True


def _compared_on(asked: Question) -> _Among | None:
    """All images where both have the same clean accuracy; else those that all networks get right, if there are any.

    The same: within one point, and not significantly different. A network that is wrong more often has less to lose.
    """
    clean = _sides(asked, asked.policy, CLEAN)
    if clean is None:
        return None
    gap = gap_of(*clean, paired=asked.group.paired, seed=asked.seed)
    every = np.ones(clean[0].share.shape[1], bool)
    if abs(gap.value) <= MARGIN and gap.low <= 0 <= gap.high:
        return _Among(every, "all images")
    both: Bools = np.logical_and.reduce(np.concatenate([side.majority for side in clean]))
    why = f"because clean accuracies differ by {gap}"
    if not both.any():
        return _Among(every, f"all images, {why} but no image is classified right by all networks", fair=False)
    return _Among(both, f"images that all networks classify right, {why}")


def _at(condition: Condition, claim: RobustnessClaim, asked: Question, among: _Among) -> Measurement | None:
    """The contest under one condition, over some of the images."""
    sides = _sides(asked, asked.policy, condition)
    if sides is None:
        return None

    def gap(gated: Side, plain: Side) -> Estimate:
        return gap_of(gated, plain, paired=asked.group.paired, seed=asked.seed, among=among.images)

    gated, plain = sides
    fgsm = None if claim.attack == "fgsm" else _under_fgsm(asked, condition.threat)
    random = traits(asked.policy).draws
    without = _sides(asked, DETERMINISTIC, condition) if random else None
    found = Contest(
        gap=gap(*sides),
        failed=not all(side.ok for side in (*sides, *(fgsm or ()), *(without or ()))),
        left=max(float(side.share.mean()) for side in sides),
        fgsm=gap(*fgsm) if fgsm else None,
        random=random,
        argmax=gap(*without) if without else None,
        carried=gap(_halfway(gated, plain), without[0]) if without and len(plain.share) == len(gated.share) else None,
    )
    told = {"all images": gap_of(*sides, paired=asked.group.paired, seed=asked.seed), "fgsm": found.fgsm}
    told |= {"argmax gates": found.argmax}
    beside = {name: one.value for name, one in told.items() if one is not None}
    what = f"gated − plain, {attack_text(claim.attack)}, on {among.words}"
    ruling = judge_contest(found, claim.margin)
    if not among.fair:
        ruling = Ruling("inconclusive", "clean accuracies differ, and no image is classified right by all networks")
    elif not among.images.all():
        ruling = ruling._replace(reason=f"{ruling.reason} (on the {found.gap.n} images that all classify right)")
    attacks = _attacks(claim, asked, condition.threat)
    return measurement(what, found.gap, ruling, threat=condition.threat, beside=beside, attacks=attacks)


def _under_fgsm(asked: Question, threat: Threat | None) -> tuple[Side, Side] | None:
    of_gated = asked.results[asked.group.gated[0].name, asked.policy]
    found = (_sides(asked, asked.policy, c) for c in of_gated if (c.attack, c.threat) == ("fgsm", threat))
    return next((sides for sides in found if sides), None)


def _halfway(gated: Side, plain: Side) -> Side:
    """Halfway between both: what is above argmax gates there makes sampled - argmax more than half of the gap."""
    return Side((gated.share + plain.share) / 2, gated.majority, gated.ok and plain.ok, exact=False)
