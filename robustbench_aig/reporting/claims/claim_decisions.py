"""All claims of a report: who is asked, what was measured, what the checks say, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from robustbench_aig.policy_traits import PLAIN
from robustbench_aig.recipes import (
    AccuracyClaim,
    ChoiceClaim,
    ClaimRecipe,
    MovementClaim,
    OverheadClaim,
    PaceClaim,
    RobustnessClaim,
    SpecificityClaim,
    Strengths,
    TrainingSpeedClaim,
    TransitionClaim,
    UnderPolicies,
)
from robustbench_aig.records import CheckState, Claim, Measurement, Source
from robustbench_aig.reporting.claims.choice_pays import held_to_looking, measure_choice
from robustbench_aig.reporting.claims.clean_gates import measure_specificity, measure_transitions
from robustbench_aig.reporting.claims.costs import measure_overhead, measure_pace, measure_training_speed
from robustbench_aig.reporting.claims.gate_movement import measure_movement
from robustbench_aig.reporting.claims.groups import groups
from robustbench_aig.reporting.claims.question import Question
from robustbench_aig.reporting.claims.robustness import measure_accuracy, measure_robustness, unmeasured
from robustbench_aig.reporting.claims.verdicts import HOLDS, Ruling, combine, unrefuted
from robustbench_aig.reporting.evidence import Evidence
from robustbench_aig.reporting.gated_vs_plain import Results
from robustbench_aig.statistics.seeds import FEWEST_SEEDS

_MEASURES: dict[type, Callable[[Any, Question], list[Measurement]]] = {
    RobustnessClaim: measure_robustness,
    MovementClaim: measure_movement,
    AccuracyClaim: measure_accuracy,
    PaceClaim: measure_pace,
    OverheadClaim: measure_overhead,
    TrainingSpeedClaim: measure_training_speed,
    ChoiceClaim: measure_choice,
    TransitionClaim: measure_transitions,
    SpecificityClaim: measure_specificity,
}
"""What each kind of claim rests on, in the order in which claims are told."""

_ATTACKED = (RobustnessClaim, MovementClaim)
"""What rests on attacks, and so on every check."""

_OF_CHOICE = (MovementClaim, ChoiceClaim)
"""What is about the choice that gates make, and so of networks whose gates look."""

_OF_COSTS = (OverheadClaim, PaceClaim, TrainingSpeedClaim)
"""What is the same whatever a network has learned."""


def claims(
    evidence: Evidence,
    results: Results,
    recipes: Sequence[tuple[str, ClaimRecipe]],
    guesses: Collection[tuple[str, str]],
) -> list[Claim]:
    """Every claim on every gated recipe, under each policy that it names, those about robustness first.

    Claims without any measurement are left out.

    Args:
        evidence: of the report.
        results: its scores.
        recipes: names and recipes of the claims.
        guesses: (model, policy) of those that are not significantly better than guessing.
    """
    kinds, compared = list(_MEASURES), groups(evidence.plan)
    found = []
    for name, recipe in sorted(recipes, key=lambda one: kinds.index(type(one[1].claim))):
        for group in compared:
            for policy in recipe.claim.policies if isinstance(recipe.claim, UnderPolicies) else [""]:
                asked = Question(group, policy, evidence, results)
                measured = _MEASURES[type(recipe.claim)](recipe.claim, asked)
                if recipe.claim.of_every_attack:
                    measured = [unrefuted(one) for one in measured]
                found += [_claim(name, recipe, asked, measured, guesses)] if measured else []
    return found


def _claim(
    name: str,
    recipe: ClaimRecipe,
    asked: Question,
    found: list[Measurement],
    guesses: Collection[tuple[str, str]],
) -> Claim:
    group = asked.group
    compares = not isinstance(recipe.claim, MovementClaim | ChoiceClaim | TransitionClaim | SpecificityClaim)
    checked = _checked(recipe, asked, plain=compares)
    deciding = combine(found)
    at = f"at {deciding.threat}: " if deciding.threat else ""
    lacking = unmeasured(recipe.claim, group, found) if isinstance(recipe.claim, Strengths) else None
    what = "" if isinstance(recipe.claim, RobustnessClaim) else f"{deciding.what}: "
    ruling = _held(Ruling(deciding.verdict, f"{at}{what}{deciding.reason}"), checked, lacking)
    if isinstance(recipe.claim, _OF_CHOICE):
        ruling = held_to_looking(ruling, asked)
    guessing = [] if isinstance(recipe.claim, _OF_COSTS) else _guessing(asked, guesses, plain=compares)
    if guessing:
        ruling = Ruling(
            "inconclusive", f"{', '.join(guessing)}: not significantly better than guessing on clean images"
        )
    return Claim(
        id=name,
        sentence=recipe.sentence,
        reference=recipe.reference,
        source=Source(**recipe.source.model_dump()),
        gated=[model.name for model in group.gated],
        gate_policy=asked.policy or None,
        defence=group.defence,
        plain=[model.name for model in group.plain] if compares else [],
        verdict=ruling.verdict,
        reason=ruling.reason,
        scope=_of_costs(recipe.claim, len(found)) or _scope(asked, compares=compares),
        checks=checked.state,
        failed_checks=list(checked.failed),
        measurements=found,
        attacks=deciding.attacks,
    )


def _guessing(asked: Question, guesses: Collection[tuple[str, str]], *, plain: bool) -> list[str]:
    """The networks that no more is known of than that they name the largest class; they carry no claim."""
    of_each = [(model.name, asked.policy) for model in asked.group.gated]
    of_each += [(model.name, PLAIN) for model in asked.group.plain if plain]
    return [one[0] for one in of_each if one in guesses]


class _Checked(NamedTuple):
    """What checks say of the networks behind a claim."""

    state: CheckState
    failed: tuple[str, ...] = ()


def _checked(recipe: ClaimRecipe, asked: Question, *, plain: bool) -> _Checked:
    """Whether any check fails on a network that the claim rests on, under the policy that it was attacked under."""
    if not isinstance(recipe.claim, _ATTACKED):
        return _Checked("not needed")
    gated = [(model.name, asked.policy, model.weights_digest) for model in asked.group.gated]
    others = [(model.name, PLAIN, model.weights_digest) for model in asked.group.plain if plain]
    checkups = asked.evidence.checks
    of_each = [[c for c in checkups if (c.run, c.policy, c.weights_digest) == one] for one in gated + others]
    failed = tuple(f"{c.run} ({c.policy}): {name}" for found in of_each for c in found for name in c.named("fail"))
    if failed:
        return _Checked("failed", failed)
    return _Checked("no fail" if all(of_each) else "not run")


def _held(ruling: Ruling, checked: _Checked, lacking: str | None) -> Ruling:
    """The ruling, but that nothing holds by half of the evidence, or by one that fails a check or had none."""
    if ruling.verdict not in HOLDS:
        return ruling
    if lacking:
        return Ruling("inconclusive", f"{ruling.reason}, but a measurement {lacking} is missing")
    if checked.state == "failed":
        return Ruling("inconclusive", f"{ruling.reason}, but checks of this evidence fail: {', '.join(checked.failed)}")
    if checked.state == "not run":
        return Ruling("inconclusive", f"{ruling.reason}, but the checks of this evidence were not run")
    return ruling


def _of_costs(claim: object, pairs: int) -> str | None:
    """For what a verdict on costs holds, from so many measurements; None where it is about none."""
    match claim:
        case OverheadClaim():
            return "every training of these recipes: exact counts"
        case PaceClaim():
            of = "this pair of networks" if pairs == 1 else f"each of these {pairs} pairs of networks"
            return f"repeated timings of {of} on one machine"
        case TrainingSpeedClaim():
            return f"the epochs of {'this pair' if pairs == 1 else f'each of these {pairs} pairs'} of trainings"
        case _:
            return None


def _scope(asked: Question, *, compares: bool) -> str:
    """For whom a verdict on what was learned holds."""
    group = asked.group
    seeds = min(len(group.gated), len(group.plain)) if compares else len(group.gated)
    if asked.policy and compares and seeds >= FEWEST_SEEDS:
        return f"further training seeds and images, from {seeds} seeds"
    return "this network alone, not its recipe" if seeds == 1 else f"these {seeds} networks, not their recipe"
