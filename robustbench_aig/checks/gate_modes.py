"""Do other gradients past the gates break more?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from robustbench_aig.attacks import Attack
from robustbench_aig.checks.case import Case
from robustbench_aig.checks.gate_gradients import looking_gates, parts_of
from robustbench_aig.checks.thresholds import Limits
from robustbench_aig.checks.weak_rivals import Rivals, varied
from robustbench_aig.recipes import (
    BpdaMode,
    DeployedMode,
    GateMode,
    LeadedMode,
    OtherMode,
    ScoreFunctionMode,
    SmoothedMode,
)

_ANY: dict[str, GateMode] = {
    "detached": DeployedMode(mode="detached"),
    "frozen": OtherMode(mode="frozen"),
    "open": OtherMode(mode="open"),
    "expected": OtherMode(mode="expected"),
    "bpda": BpdaMode(temperature=5.0),
    "leaded": LeadedMode(),
    "smoothed": SmoothedMode(draws=5),
}
_RANDOM: dict[str, GateMode] = {
    "20 draws": DeployedMode(draws=20),
    "score function": ScoreFunctionMode(draws=20),
    "frozen noise": DeployedMode(mode="frozen-noise"),
}


@dataclass(frozen=True)
class GateModes(Rivals):
    """The same attack with other gradients past the gates."""

    name: ClassVar[str] = "gate-modes"
    title: ClassVar[str] = "Other gradients through the gates break no more"
    asks: ClassVar[str] = "Does the attack break what it would with another gradient through the gates?"
    advice: ClassVar[str] = "Report the worst case over gate modes (suite adaptive): this one alone is too weak."
    limits: ClassVar[Limits] = Limits(0.05, 0.15)

    def rivals(self, case: Case) -> Mapping[str, Attack] | str:
        """One per mode."""
        if not looking_gates(case):
            return "no gate looks at the image"
        own, _ = parts_of(case)
        modes = {**_ANY, **(_RANDOM if case.subject.random else {})}
        return {name: varied(case, gates=mode) for name, mode in modes.items() if mode != own}
