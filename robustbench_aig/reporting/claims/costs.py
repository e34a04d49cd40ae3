"""What claims about costs rest on: operations, parameters, and clocks."""

from __future__ import annotations

from robustbench_aig.recipes import OverheadClaim, PaceClaim, TrainingSpeedClaim
from robustbench_aig.records import Measurement
from robustbench_aig.reporting.claims.question import Question
from robustbench_aig.reporting.claims.verdicts import Estimate, judge_bound, measurement


def measure_overhead(claim: OverheadClaim, asked: Question) -> list[Measurement]:
    """What gates add to multiply-accumulates, all blocks running, and to parameters; exact counts."""
    group = asked.group
    if not group.plain:
        return []
    gated, plain = group.gated[0], group.plain[0]
    shares = [("parameters", gated.parameters / plain.parameters - 1, claim.parameters)]
    if gated.total_macs is not None and plain.total_macs:
        shares.insert(0, ("multiply-accumulates", gated.total_macs / plain.total_macs - 1, claim.macs))
    found = [(what, Estimate(share, share, share, None), most) for what, share, most in shares]
    return [measurement(f"more {what}", one, judge_bound(one, most, at_least=False)) for what, one, most in found]


def measure_pace(claim: PaceClaim, asked: Question) -> list[Measurement]:
    """The time of each network over a plain one's, by the clock, on clean images; closed blocks are skipped."""
    evidence, names = asked.evidence, [model.name for model in asked.group.gated]
    clean = [e for e in evidence.finished() if (e.role, e.policy) == ("clean", asked.policy) and e.model in names]
    found = []
    for e, pace in [(e, evidence.pace[e.id]) for e in clean if e.id in evidence.pace]:
        one = Estimate(pace.ratio, pace.low, pace.high, pace.images)
        beside = {"ms per image": pace.ms_per_image, "plain, ms per image": pace.plain_ms_per_image}
        what = f"time of {e.model} / {pace.plain}, {pace.images} at once, {pace.device}, {pace.threads} threads"
        found.append(measurement(what, one, judge_bound(one, claim.most, at_least=False), beside=beside))
    return found


def measure_training_speed(claim: TrainingSpeedClaim, asked: Question) -> list[Measurement]:
    """Images per second that each gated network learned from, over those of a plain one trained on the like.

    The median epochs of two runs that didn't stand side by side: the interval holds every ratio of values inside the
    two medians' intervals, and still knows nothing of what else the machine did.
    """
    found = []
    for gated, plain in asked.group.pairs:
        fast, slow = (model.training.speed if model.training else None for model in (plain, gated))
        if fast is None or slow is None or slow.on != fast.on:
            continue
        one = Estimate(slow.median / fast.median, slow.low / fast.high, slow.high / fast.low, None)
        beside = {"gated, images per second": slow.median, "plain, images per second": fast.median}
        what = f"images per second, {gated.name} / {plain.name}"
        found.append(measurement(what, one, judge_bound(one, claim.least, at_least=True), beside=beside))
    return found
