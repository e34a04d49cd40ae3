"""Gated networks beside the plain ones nearest in clean accuracy: who is more accurate has more to lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from robustbench_aig.policy_traits import PLAIN, traits
from robustbench_aig.records import ChosenOn, CleanMatch, MeanDifference, ModelRecord, Rival, SeedGroup
from robustbench_aig.reporting.claims.groups import groups
from robustbench_aig.reporting.claims.question import Question
from robustbench_aig.reporting.claims.robustness import Side, gap_of
from robustbench_aig.reporting.evidence import Evidence
from robustbench_aig.reporting.gated_vs_plain import CLEAN, Condition, Results, paired
from robustbench_aig.reporting.words import SUMMARIES

_DIGITS = 9
"""Of an accuracy: what is nearer by rounding alone is a tie, which the usual twins win."""


def clean_matches(evidence: Evidence, results: Results) -> list[CleanMatch]:
    """For all gated networks that have further plain ones beside their usual twins, under each of their policies.

    Of a ladder, which judges many policies, under those that choose blocks by the image.
    """
    found = [
        _match(Question(group, policy, evidence, results))
        for group in groups(evidence.plan)
        for model, policy in results
        if group.others and model == group.gated[0].name and (traits(policy).chooses or not evidence.plan.ladder)
    ]
    return [match for match in found if match is not None]


def _match(asked: Question) -> CleanMatch | None:
    """None where not all of them have been measured on clean images, or nothing else was."""
    group = asked.group
    origins = {_origin(group.gated), _origin(group.plain)} - {None}
    rivals = [group.plain, *(other for other in group.others if _origin(other) in origins)]
    found = _accuracies(asked, rivals)
    if found is None:
        return None
    (ours, *theirs), chosen_on = found
    sides = [_rival(asked, rival, accuracy) for rival, accuracy in zip(rivals, theirs, strict=True)]
    if {one.attack for one in sides[0].differences} == {CLEAN.attack}:
        return None
    nearest = min(sides, key=lambda side: round(abs(side.networks.choice_accuracy - ours), _DIGITS))
    return CleanMatch(
        gated=_seeds(group.gated, ours),
        gate_policy=asked.policy,
        chosen_on=chosen_on,
        usual=sides[0],
        nearest=None if nearest is sides[0] else nearest,
        left_out=[model.name for other in group.others if other not in rivals for model in other],
    )


def _origin(networks: Sequence[ModelRecord]) -> tuple[tuple[str, int], ...] | None:
    """What the networks of a fair choice have in common: the data that they learned from, and their seeds.

    None where that isn't known: of networks that weren't trained here.
    """
    trainings = [model.training for model in networks if model.training is not None]
    return tuple((one.data, one.seed) for one in trainings) if len(trainings) == len(networks) else None


def _accuracies(asked: Question, rivals: Sequence[Sequence[ModelRecord]]) -> tuple[list[float], ChosenOn] | None:
    """Clean accuracies of the gated networks and of each rival, means over seeds; None where one isn't measured.

    Nothing is chosen on test images where validation images can tell: no network is then taken, or passed over, for
    its luck on the very images that it is attacked on, and there are mostly more of them.
    """
    sides = [(asked.group.gated, asked.policy), *((rival, PLAIN) for rival in rivals)]
    measured = [Side.of(networks, policy, CLEAN, asked.results) for networks, policy in sides]
    here = [float(side.share.mean()) for side in measured if side is not None]
    if len(here) < len(sides):
        return None
    known = [_on_validation(networks, policy, asked.evidence.plan.data.name) for networks, policy in sides]
    validated = [accuracy for accuracy in known if accuracy is not None]
    return (validated, "validation images") if len(validated) == len(sides) else (here, "images of the report")


def _on_validation(networks: Sequence[ModelRecord], policy: str, data: str) -> float | None:
    """None where it isn't known of each of them, as they stand and on the data that they are attacked on."""
    found = [
        model.training.validation_accuracy.get(policy)
        for model in networks
        if model.training is not None and model.training.data == data and model.defence is None
    ]
    known = [accuracy for accuracy in found if accuracy is not None]
    return sum(known) / len(known) if len(known) == len(networks) else None


def _seeds(networks: Sequence[ModelRecord], accuracy: float) -> SeedGroup:
    first = networks[0]
    return SeedGroup(
        names=[model.name for model in networks],
        recipe=first.recipe,
        epochs=first.training.epochs if first.training else None,
        initial=[model.training.initial for model in networks if model.training and model.training.initial],
        choice_accuracy=accuracy,
    )


def _rival(asked: Question, plain: tuple[ModelRecord, ...], accuracy: float) -> Rival:
    """Compared on clean images, and under what sums up all others."""
    instead = replace(asked, group=replace(asked.group, plain=plain))
    conditions = asked.results[asked.group.gated[0].name, asked.policy]
    found = [_difference(instead, one) for one in conditions if one == CLEAN or one.attack in SUMMARIES]
    return Rival(networks=_seeds(plain, accuracy), differences=[one for one in found if one is not None])


def _difference(asked: Question, condition: Condition) -> MeanDifference | None:
    """Gated minus plain over all images; None where one of them hasn't been measured."""
    group, results = asked.group, asked.results
    gated = Side.of(group.gated, asked.policy, condition, results)
    plain = Side.of(group.plain, PLAIN, condition, results)
    if gated is None or plain is None:
        return None
    gap = gap_of(gated, plain, paired=group.paired, seed=asked.seed)
    p_value = None
    if len(group.gated) == len(group.plain) == 1:
        pair = (group.gated[0].name, asked.policy), (group.plain[0].name, PLAIN)
        p_value = paired(*(results[one][condition] for one in pair)).p_value
    return MeanDifference(
        attack=condition.attack,
        threat=condition.threat,
        status="ok" if gated.ok and plain.ok else "error",
        n=gated.share.shape[1],
        difference=gap.value,
        low=gap.low,
        high=gap.high,
        p_value=p_value,
        gated=float(gated.share.mean()),
        plain=float(plain.share.mean()),
    )
