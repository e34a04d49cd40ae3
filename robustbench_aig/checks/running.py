"""Carrying checks out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustbench_aig.attacks import Attack
from robustbench_aig.checks.alone_and_together import AloneAndTogether
from robustbench_aig.checks.binarization import Binarization
from robustbench_aig.checks.blackbox import BlackBox, RandomNoise, TransferGap
from robustbench_aig.checks.budget import EightBit, HighEpsilon, InTheBall, Monotone, Unbounded
from robustbench_aig.checks.case import Case
from robustbench_aig.checks.check_class import Check
from robustbench_aig.checks.controls import CleanAccuracy, PositiveControl
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.counted_compute import CountedCompute
from robustbench_aig.checks.draws import DrawVariance, FixedRandomness, FreshDraws
from robustbench_aig.checks.eval_mode import OneMode
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.gate_gradients import GatePath, Signal
from robustbench_aig.checks.gate_modes import GateModes
from robustbench_aig.checks.gate_randomness import NoiseScope, Randomness
from robustbench_aig.checks.gates_look import GatesLook
from robustbench_aig.checks.input_gradients import (
    FiniteDifferences,
    Shattered,
    StepSaturation,
    Underflow,
    ZeroGradient,
)
from robustbench_aig.checks.output import Logits
from robustbench_aig.checks.plausible import PlausibleInput
from robustbench_aig.checks.rounding_edge import OnTheEdge
from robustbench_aig.checks.search import Losses, MoreSteps, Restarts, SingleStep
from robustbench_aig.checks.seen_in_training import SeenInTraining
from robustbench_aig.checks.starts import DistinctStarts
from robustbench_aig.checks.trajectory import Convergence, SilentSuccess
from robustbench_aig.errors import AigrobError, InputError
from robustbench_aig.precision import float32
from robustbench_aig.threat import Threat

OF_THE_NETWORK: tuple[Check, ...] = (
    CleanAccuracy(),
    SeenInTraining(),
    PlausibleInput(),
    Logits(),
    Randomness(),
    NoiseScope(),
    OneMode(),
    AloneAndTogether(),
    CountedCompute(),
    ZeroGradient(),
    Underflow(),
    FiniteDifferences(),
    Shattered(),
    StepSaturation(),
    GatesLook(),
    GatePath(),
    Signal(),
)
"""Checks that look at a network in single passes."""

OF_THE_ATTACK: tuple[Check, ...] = (
    PositiveControl(),
    DistinctStarts(),
    InTheBall(),
    SingleStep(),
    MoreSteps(),
    Restarts(),
    Convergence(),
    SilentSuccess(),
    Losses(),
    GateModes(),
    Monotone(),
    HighEpsilon(),
    Unbounded(),
    FixedRandomness(),
    RandomNoise(),
    BlackBox(),
    TransferGap(),
    Binarization(),
    DrawVariance(),
    FreshDraws(),
    EightBit(),
    OnTheEdge(),
)
"""Checks that run the attack under examination, and others beside it."""

ALL = OF_THE_NETWORK + OF_THE_ATTACK

QUICK: tuple[Check, ...] = (
    *(check for check in OF_THE_NETWORK if not isinstance(check, Signal | PlausibleInput)),
    Signal(draws=(1,)),
    PlausibleInput(choosing=48),
    PositiveControl(),
    DistinctStarts(),
    InTheBall(72),
    SingleStep(72),
    Convergence(72),
    HighEpsilon(32),
    FixedRandomness(32),
    RandomNoise(72, union=False),
    BlackBox(72, queries=300, pairs=10, union=False),
    TransferGap(72, union=False),
    DrawVariance(72),
    FreshDraws(72),
    EightBit(72),
    OnTheEdge(72),
)
"""Those that a few gradients per image suffice for: no longer searches, no unions; as many images as a pass takes."""


def estimate(case: Case, checks: Sequence[Check]) -> Cost:
    """At most so many passes of checks that share their attacks; as if no image were lost to any."""
    shared: dict[tuple[Attack, Threat], int] = {}
    total = Cost()
    for check in checks:
        total = total.plus(check.cost(case))
        for pair in check.attacks(case):
            shared[pair] = max(check.images, shared.get(pair, 0))
    for (attack, _), images in shared.items():
        total = total.plus(case.cost(attack, images))
    return total


def run_checks(case: Case, checks: Sequence[Check]) -> Iterator[Finding]:
    """The findings, one after the other as they are made.

    A check that crashes fails, because its question was not answered. A check whose attack cannot work on such a
    network is n/a.
    """
    for check in checks:
        try:
            with float32():
                finding = check(case)
        except InputError as error:
            finding = check.unfit(str(error))
        except AigrobError as error:
            finding = check.broken(str(error))
        except Exception as error:  # noqa: BLE001 - foreign networks and attacks may fail in any way
            finding = check.broken(f"{type(error).__name__}: {error}")
        yield finding
