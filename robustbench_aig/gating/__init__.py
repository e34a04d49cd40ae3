"""Gates, the policies by which they decide, the trace of what they did, and dense and sparse execution."""

from robustbench_aig.gating.context import Execution, Trace, gating
from robustbench_aig.gating.gate import Gate, OpenGate, PooledGate
from robustbench_aig.gating.policies import Argmax, Expected, Frozen, Open, Policy, Random, Sampled

__all__ = [
    "Argmax",
    "Execution",
    "Expected",
    "Frozen",
    "Gate",
    "Open",
    "OpenGate",
    "Policy",
    "PooledGate",
    "Random",
    "Sampled",
    "Trace",
    "gating",
]
