"""Claims: sentences about gated networks, and whether the evidence of a report supports them."""

from robustbench_aig.reporting.claims.judging import claims

__all__ = ["claims"]
