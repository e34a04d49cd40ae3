"""What a study is to measure, and of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robustbench_aig.errors import InputError
from robustbench_aig.evaluation import KEPT, Network
from robustbench_aig.records import EXACT, CorruptionRecord, Draws
from robustbench_aig.threat import Threat

Chosen = Sequence[tuple[Network, Sequence[str]]]
"""Networks, each with the gate policies it is judged under."""


@dataclass(frozen=True)
class Wanted:
    """What is measured of networks, and how.

    Attributes:
        threats: balls of one norm; without any nothing is attacked.
        attacks: names, each with changes to its recipe, instead of the suite.
        suite: name of a suite of attacks.
        corruptions: measured once each, beside the attacks or alone.
        seed: of everything random.
        chunk: images per unit of work.
        draws: scoring passes per image of random gates; "exact" for every pattern of few gates by its probability.
        amp: let our own attacks work in bfloat16.
        keep: attacked images stored per evaluation.
        runs: folder of the runs that attacks may be transferred from.

    Raises:
        InputError: chunk or draws are less than 1.
    """

    threats: Sequence[Threat]
    attacks: Sequence[str] = ()
    suite: str = "default"
    corruptions: Sequence[CorruptionRecord] = ()
    seed: int = 0
    chunk: int = 100
    draws: Draws = 10
    amp: bool = False
    keep: int = KEPT
    runs: Path = Path("runs")

    def __post_init__(self) -> None:
        for what, number in (("chunk", self.chunk), ("draws", self.draws)):
            if number != EXACT and number < 1:
                raise InputError(f"{what} must be at least 1, got {number}")
