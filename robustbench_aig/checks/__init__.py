"""Checks: whether a number about robustness can be trusted, asked of the network and of the attack itself.

A `Case` is what is checked, a `Check` a question with thresholds, a `Finding` its answer: pass, warn, fail or n/a.
"""

from robustbench_aig.checks.case import Case, Outcome, reference_attack, reference_name
from robustbench_aig.checks.check_class import Check
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.running import ALL, OF_THE_ATTACK, OF_THE_NETWORK, QUICK, estimate, run_checks
from robustbench_aig.checks.thresholds import Limits, Status, Verdict, exact

__all__ = [
    "ALL",
    "OF_THE_ATTACK",
    "OF_THE_NETWORK",
    "QUICK",
    "Case",
    "Check",
    "Cost",
    "Finding",
    "Limits",
    "Outcome",
    "Status",
    "Verdict",
    "estimate",
    "exact",
    "reference_attack",
    "reference_name",
    "run_checks",
]
