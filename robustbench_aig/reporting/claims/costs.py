"""What claims about costs rest on: operations and parameters."""

from __future__ import annotations

from robustbench_aig.recipes import OverheadClaim
from robustbench_aig.records import Measurement
from robustbench_aig.reporting.claims.groups import Group
from robustbench_aig.reporting.claims.verdicts import Estimate, judge_bound, measurement


def measure_overhead(claim: OverheadClaim, group: Group) -> list[Measurement]:
    """What gates add to multiply-accumulates, all blocks running, and to parameters; exact counts."""
    if not group.plain:
        return []
    gated, plain = group.gated[0], group.plain[0]
    shares = [
        ("multiply-accumulates", gated.total_macs / plain.total_macs - 1, claim.macs),
        ("parameters", gated.parameters / plain.parameters - 1, claim.parameters),
    ]
    found = [(what, Estimate(share, share, share, None), most) for what, share, most in shares]
    return [measurement(f"more {what}", one, judge_bound(one, most, at_least=False)) for what, one, most in found]
