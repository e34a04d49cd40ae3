"""What claims about costs rest on: operations, parameters, and the clock."""

from __future__ import annotations

from robustbench_aig.recipes import OverheadClaim, PaceClaim
from robustbench_aig.records import Measurement
from robustbench_aig.reporting.claims.question import Question
from robustbench_aig.reporting.claims.verdicts import Estimate, judge_bound, measurement


def measure_overhead(claim: OverheadClaim, asked: Question) -> list[Measurement]:
    """What gates add to multiply-accumulates, all blocks running, and to parameters; exact counts."""
    group = asked.group
    if not group.plain:
        return []
    gated, plain = group.gated[0], group.plain[0]
    shares = [
        ("multiply-accumulates", gated.total_macs / plain.total_macs - 1, claim.macs),
        ("parameters", gated.parameters / plain.parameters - 1, claim.parameters),
    ]
    found = [(what, Estimate(share, share, share, None), most) for what, share, most in shares]
    return [measurement(f"more {what}", one, judge_bound(one, most, at_least=False)) for what, one, most in found]


def measure_pace(claim: PaceClaim, asked: Question) -> list[Measurement]:
    """The time of each network over a plain one's, by the clock, on unattacked images; closed blocks are skipped."""
    evidence, names = asked.evidence, [model.name for model in asked.group.gated]
    clean = [e for e in evidence.finished() if (e.role, e.policy) == ("clean", asked.policy) and e.model in names]
    found = []
    for e, pace in [(e, evidence.pace[e.id]) for e in clean if e.id in evidence.pace]:
        one = Estimate(pace.ratio, pace.low, pace.high, pace.images)
        beside = {"ms per image": pace.ms_per_image, "plain, ms per image": pace.plain_ms_per_image}
        what = f"time of {e.model} / {pace.plain}, {pace.images} at once, {pace.device}, {pace.threads} threads"
        found.append(measurement(what, one, judge_bound(one, claim.most, at_least=False), beside=beside))
    return found
