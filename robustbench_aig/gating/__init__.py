"""Gates, the policies by which they decide, the trace of what they did, and dense and sparse execution."""

from robustbench_aig.gating.context import gating
from robustbench_aig.gating.gate import BlindGate, Gate, OpenGate, PooledGate
from robustbench_aig.gating.policies import (
    DEPLOYABLE,
    Argmax,
    Expected,
    Frozen,
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
    "Execution",
    "Expected",
    "Frozen",
    "Gate",
    "Open",
    "OpenGate",
    "Policy",
    "PooledGate",
    "Random",
    "Restless",
    "Sampled",
    "Trace",
    "deployed_policy",
    "gating",
    "logistic_noise",
    "straight_through",
]
