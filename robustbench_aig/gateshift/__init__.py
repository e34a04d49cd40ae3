"""Whether gates look at the image and how far they move under attack: formulas and sources in docs/gate-shift.md."""

from robustbench_aig.gateshift.dependence import (
    dependence,
    dependence_of_decisions,
    dependence_of_network,
    explained_shares,
)
from robustbench_aig.gateshift.measure import Version
from robustbench_aig.gateshift.shift_record import Versions, moved_gates

__all__ = [
    "Version",
    "Versions",
    "dependence",
    "dependence_of_decisions",
    "dependence_of_network",
    "explained_shares",
    "moved_gates",
]
