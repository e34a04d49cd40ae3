"""All claims of a report: who is asked, what was measured, what the checks say, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustbench_aig.recipes import (
    AccuracyClaim,
    ClaimRecipe,
    MovementClaim,
    OverheadClaim,
    RobustnessClaim,
    SpecificityClaim,
    Strengths,
    TransitionClaim,
    UnderPolicies,
)
from robustbench_aig.records import CheckState, Checkup, Claim, Measurement
from robustbench_aig.reporting.claims.costs import measure_overhead
from robustbench_aig.reporting.claims.gates import measure_movement, measure_specificity, measure_transitions
from robustbench_aig.reporting.claims.groups import Group, groups
from robustbench_aig.reporting.claims.robustness import Question, measure_accuracy, measure_robustness, strengths_needed
from robustbench_aig.reporting.claims.verdicts import Ruling, combine
from robustbench_aig.reporting.comparison import Results
from robustbench_aig.reporting.loading import Evidence
from robustbench_aig.statistics.seeds import FEWEST_SEEDS

_ATTACKED = (RobustnessClaim, MovementClaim)
"""What rests on attacks, and so on every check."""


def claims(evidence: Evidence, results: Results, recipes: Sequence[tuple[str, ClaimRecipe]]) -> list[Claim]:
    """Every claim on every gated recipe, under each policy that it names, those about robustness first.

    Claims without any measurement are left out.

    Args:
        evidence: of the report.
        results: its scores.
        recipes: names and recipes of the claims.
    """
    return [
        _claim(name, recipe, group, policy, found, evidence.checks)
        for name, recipe in sorted(recipes, key=lambda one: not isinstance(one[1].claim, RobustnessClaim))
        for group in groups(evidence.plan)
        for policy in (recipe.claim.policies if isinstance(recipe.claim, UnderPolicies) else [None])
        if (found := _measured(recipe, group, policy, evidence, results))
    ]


def _measured(
    recipe: ClaimRecipe, group: Group, policy: str | None, evidence: Evidence, results: Results
) -> list[Measurement]:
    claim = recipe.claim
    if isinstance(claim, OverheadClaim):
        return measure_overhead(claim, group)
    assert policy is not None
    if isinstance(claim, RobustnessClaim):
        return measure_robustness(claim, Question(group, policy, results, evidence.plan.seed))
    if isinstance(claim, AccuracyClaim):
        return measure_accuracy(claim, Question(group, policy, results, evidence.plan.seed))
    if isinstance(claim, MovementClaim):
        return measure_movement(claim, group, policy, evidence)
    if isinstance(claim, TransitionClaim):
        return measure_transitions(claim, group, policy, evidence)
    return measure_specificity(claim, group, policy, evidence)


def _claim(
    name: str,
    recipe: ClaimRecipe,
    group: Group,
    policy: str | None,
    found: list[Measurement],
    checkups: Sequence[Checkup],
) -> Claim:
    compares = not isinstance(recipe.claim, MovementClaim | TransitionClaim | SpecificityClaim)
    checked = _checked(recipe, group, policy, checkups, plain=compares)
    deciding = combine(found)
    at = f"at {deciding.threat}: " if deciding.threat else ""
    ruling = _held(Ruling(deciding.verdict, f"{at}{deciding.reason}"), checked, _lacking(recipe, group, found))
    return Claim(
        id=name,
        sentence=recipe.sentence,
        reference=recipe.reference,
        gated=[model.name for model in group.gated],
        gate_policy=policy,
        plain=[model.name for model in group.plain] if compares else [],
        verdict=ruling.verdict,
        reason=ruling.reason,
        scope=_scope(group, policy, compares=compares),
        checks=checked.state,
        failed_checks=list(checked.failed),
        measurements=found,
    )


class _Checked(NamedTuple):
    """What checks say of the networks behind a claim."""

    state: CheckState
    failed: tuple[str, ...] = ()


def _checked(
    recipe: ClaimRecipe, group: Group, policy: str | None, checkups: Sequence[Checkup], *, plain: bool
) -> _Checked:
    """Whether any check fails on a network that the claim rests on, under the policy that it was attacked under."""
    if not isinstance(recipe.claim, _ATTACKED):
        return _Checked("not needed")
    asked = [(model, policy) for model in group.gated] + [(model, "none") for model in group.plain if plain]
    of_each = [
        [c for c in checkups if (c.run, c.policy, c.weights_digest) == (model.name, under, model.weights_digest)]
        for model, under in asked
    ]
    failed = tuple(f"{c.run} ({c.policy}): {name}" for found in of_each for c in found for name in c.named("fail"))
    if failed:
        return _Checked("failed", failed)
    return _Checked("no fail" if all(of_each) else "not run")


def _lacking(recipe: ClaimRecipe, group: Group, found: Sequence[Measurement]) -> int:
    """At how many strengths the claim still has to be measured."""
    needed = strengths_needed(recipe.claim, group) if isinstance(recipe.claim, Strengths) else 0
    return max(needed - len(found), 0)


def _held(ruling: Ruling, checked: _Checked, lacking: int) -> Ruling:
    """The ruling, but that nothing is supported by half of the evidence, or by one that fails a check or had none."""
    if ruling.verdict != "supported":
        return ruling
    if lacking:
        return Ruling("inconclusive", f"{ruling.reason}, but it takes {lacking} more of its strengths")
    if checked.state == "failed":
        return Ruling("inconclusive", f"{ruling.reason}, but checks of this evidence fail: {', '.join(checked.failed)}")
    if checked.state == "not run":
        return Ruling("inconclusive", f"{ruling.reason}, but nobody has checked it: aigrob check RUN --into DIR")
    return ruling


def _scope(group: Group, policy: str | None, *, compares: bool) -> str:
    """For whom a verdict holds."""
    seeds = min(len(group.gated), len(group.plain)) if compares else len(group.gated)
    if policy is not None and compares and seeds >= FEWEST_SEEDS:
        return f"further training seeds and images, from {seeds} seeds"
    return "this network alone, not its recipe" if seeds == 1 else f"these {seeds} networks, not their recipe"
