"""What claims about the gates' choice rest on: that gates look, and that one path for all images does worse."""

from __future__ import annotations

from robustbench_aig.policy_traits import PLAIN
from robustbench_aig.recipes import ChoiceClaim
from robustbench_aig.records import Measurement, ModelRecord
from robustbench_aig.reporting.claims.question import Question
from robustbench_aig.reporting.claims.robustness import Side, gap_of
from robustbench_aig.reporting.claims.verdicts import HOLDS, Estimate, Ruling, measurement, no_advantage, too_few
from robustbench_aig.reporting.gate_behaviour import dependence_of
from robustbench_aig.reporting.gated_vs_plain import CLEAN
from robustbench_aig.reporting.gates_look_words import counted
from robustbench_aig.reporting.words import listing
from robustbench_aig.statistics import MARGIN

_EQUAL = "the plain network of equal mean compute"
_PATHS = {"majority": "each gate's majority for all images", "static": "the best path of no more compute"}


def measure_choice(_: ChoiceClaim, asked: Question) -> list[Measurement]:
    """The gaps to one path for all images, and to a plain network of equal mean compute, on clean images."""
    ours, gated = Side.of(asked.group.gated, asked.policy, CLEAN, asked.results), asked.group.gated
    if ours is None:
        return []
    rivals = {name: Side.of(gated, policy, CLEAN, asked.results) for policy, name in _PATHS.items()}
    if not any(rivals.values()):
        return []
    rivals[_EQUAL] = Side.of(_of_equal_compute(asked), PLAIN, CLEAN, asked.results)
    missing = [name for name, rival in rivals.items() if rival is None]
    found = []
    for name, rival in rivals.items():
        if rival is not None:
            gap = gap_of(ours, rival, paired=len(ours.share) == len(rival.share), seed=asked.seed)
            ruling = _judged(gap, missing) if ours.ok and rival.ok else Ruling("inconclusive", "images failed")
            found.append(measurement(f"{asked.policy} gates − {name}, clean", gap, ruling))
    return found


def held_to_looking(ruling: Ruling, asked: Question) -> Ruling:
    """The ruling on a claim about the gates' choice: inconclusive where the gates of a network hardly look.

    Where the images are too few to tell, nothing is supported. Where it isn't known, as of sample tables without open
    probabilities over draws, the ruling stays.
    """
    for model in asked.group.gated:
        rows = asked.evidence.clean(model.name, asked.policy)
        found = None if rows is None else dependence_of(rows, model, asked.policy)
        if found is None or found.looks:
            continue
        only = f"only {counted(found)} of {model.name} certainly decide by the image"
        if found.looks is False:
            return Ruling("inconclusive", f"{only}, so there is hardly a choice to judge ({ruling.reason})")
        if ruling.verdict in HOLDS:
            return Ruling("inconclusive", f"{ruling.reason}, but {only}; more images are needed")
    return ruling


def _of_equal_compute(asked: Question) -> list[ModelRecord]:
    """The rung R0' of the ladder, or R0 where none is nearer; none where the ladder is another network's."""
    rungs = {rung.key: rung for rung in asked.evidence.plan.ladder}
    names = [model.name for model in asked.group.gated]
    if not rungs.keys() >= {"R0", "R0'", "R3"} or names != [rungs["R3"].model]:
        return []
    rival = rungs["R0'" if rungs["R0'"].needed else "R0"].model
    return [] if rival is None else [asked.evidence.model(rival)]


def _judged(gap: Estimate, missing: list[str]) -> Ruling:
    """Supported above 0; unsupported below it, or within a point of it."""
    if few := too_few(gap, MARGIN):
        return few
    said = f"deterministic gates minus the others: {gap}"
    if not gap.above(0):
        return no_advantage(gap, 0, said)
    if missing:
        return Ruling("inconclusive", f"{said}, but a comparison with {listing(missing)} is missing")
    return Ruling("supported", said)
