"""Claims: sentences about gated networks, and whether the evidence of a report supports them."""

from robustbench_aig.reporting.claims.claim_decisions import claims
from robustbench_aig.reporting.claims.groups import Group, groups

__all__ = ["Group", "claims", "groups"]
