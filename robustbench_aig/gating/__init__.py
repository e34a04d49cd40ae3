"""Gates, the policies by which they decide, the trace of what they did, and dense and sparse execution."""

from robustbench_aig.gating.context import gating
from robustbench_aig.gating.gate import BlindGate, Gate, OpenGate, PooledGate
from robustbench_aig.gating.patterns import Every, at_once, every_pattern, patterns
from robustbench_aig.gating.policies import (
    DEPLOYABLE,
    Argmax,
    Expected,
    Frozen,
    Independent,
    Open,
    Policy,
    Random,
    Restless,
    Sampled,
    deployed_policy,
    logistic_noise,
    straight_through,
)
from robustbench_aig.gating.trace import Execution, Trace

__all__ = [
    "DEPLOYABLE",
    "Argmax",
    "BlindGate",
    "Every",
    "Execution",
    "Expected",
    "Frozen",
    "Gate",
    "Independent",
    "Open",
    "OpenGate",
    "Policy",
    "PooledGate",
    "Random",
    "Restless",
    "Sampled",
    "Trace",
    "at_once",
    "deployed_policy",
    "every_pattern",
    "gating",
    "logistic_noise",
    "patterns",
    "straight_through",
]
