"""Gradient modes: how the gradient of an objective gets past gates that are hard, random, or both.

An attack may look at another network than the deployed one: with soft gates, with all of them open, with the noise held
fixed. Which look helps is not known beforehand (that of Dhillon et al.'s pruning took an erratum to find, arXiv
2010.00071), so every mode combines with every attack and every objective, and a verdict rests on their union.
"""

from collections.abc import Callable
from typing import Any

from robustbench_aig.attacks.attack_interface import View
from robustbench_aig.attacks.gradient_modes import surrogate
from robustbench_aig.attacks.gradient_modes.estimated import Evolution, ScoreFunction
from robustbench_aig.attacks.gradient_modes.exact_gradient import Exact
from robustbench_aig.attacks.gradient_modes.gradient_mode import ENOUGH, Estimate, Mode
from robustbench_aig.attacks.gradient_modes.surrogate import Surrogate
from robustbench_aig.recipes import DeployedMode, GateMode

__all__ = ["ENOUGH", "Estimate", "Mode", "Surrogate", "build_mode", "suited"]

_MODES: dict[str, Callable[[Any], Mode]] = {
    "straight-through": surrogate.StraightThrough,
    "detached": surrogate.Detached,
    "frozen-noise": surrogate.FrozenNoise,
    "frozen": surrogate.FrozenClean,
    "open": surrogate.AllOpen,
    "expected": surrogate.SoftExpected,
    "bpda": surrogate.Bpda,
    "leaded": surrogate.Leaded,
    "smoothed": surrogate.SmoothedLogits,
    "score-function": ScoreFunction,
    "evolution": Evolution,
    "exact": Exact,
}


def build_mode(recipe: GateMode) -> Mode:
    """The gradient mode that an `[attack.gates]` section configures."""
    return _MODES[recipe.mode](recipe)


def suited(mode: Mode, view: View) -> Mode:
    """The mode; where it is about gates and a network has none, the plain gradient, over as many draws."""
    return mode if view.gated or not mode.of_gates else surrogate.StraightThrough(DeployedMode(draws=mode.draws))
