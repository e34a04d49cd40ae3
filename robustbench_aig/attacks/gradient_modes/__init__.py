"""Gradient modes: how the gradient of an objective gets past gates that are hard, random, or both.

An attack may look at another network than the deployed one: with soft gates, with all of them open, with the noise held
fixed. Which look helps is not known beforehand (that of Dhillon et al.'s pruning took an erratum to find, arXiv
2010.00071), so every mode combines with every attack and every objective, and a verdict rests on their union.
"""

from robustbench_aig.attacks.gradient_modes.base import ENOUGH, Estimate, Mode
from robustbench_aig.attacks.gradient_modes.estimated import Evolution, ScoreFunction
from robustbench_aig.attacks.gradient_modes.exact_gradient import Exact
from robustbench_aig.attacks.gradient_modes.surrogate import (
    AllOpen,
    Bpda,
    Detached,
    FrozenClean,
    FrozenNoise,
    Leaded,
    SmoothedLogits,
    SoftExpected,
    StraightThrough,
    Surrogate,
    suited,
)

__all__ = [
    "ENOUGH",
    "AllOpen",
    "Bpda",
    "Detached",
    "Estimate",
    "Evolution",
    "Exact",
    "FrozenClean",
    "FrozenNoise",
    "Leaded",
    "Mode",
    "ScoreFunction",
    "SmoothedLogits",
    "SoftExpected",
    "StraightThrough",
    "Surrogate",
    "suited",
]
