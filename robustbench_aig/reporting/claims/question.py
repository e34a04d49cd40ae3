"""What a claim is asked of."""

from __future__ import annotations

from dataclasses import dataclass

from robustbench_aig.reporting.claims.groups import Group
from robustbench_aig.reporting.evidence import Evidence
from robustbench_aig.reporting.gated_vs_plain import Results


@dataclass(frozen=True)
class Question:
    """Networks under a policy, and all that was measured.

    Attributes:
        group: the networks.
        policy: of the gated ones; empty where the claim doesn't depend on one.
        evidence: of the report.
        results: its scores.
    """

    group: Group
    policy: str
    evidence: Evidence
    results: Results

    @property
    def seed(self) -> int:
        """Of the resampling over seeds."""
        return self.evidence.plan.seed
