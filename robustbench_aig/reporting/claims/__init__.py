"""Claims: sentences about gated networks, and whether the evidence of a report supports them."""

from robustbench_aig.reporting.claims.groups import Group, groups
from robustbench_aig.reporting.claims.judging import claims

__all__ = ["Group", "claims", "groups"]
