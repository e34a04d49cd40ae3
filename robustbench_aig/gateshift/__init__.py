"""How far gates move under attack, as functions of the sample table: formulas and sources in docs/gate-shift.md."""

from robustbench_aig.gateshift.assemble import Versions, moved_gates
from robustbench_aig.gateshift.measure import Version

__all__ = ["Version", "Versions", "moved_gates"]
