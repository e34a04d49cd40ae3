"""Corruptions by name and severity. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustbench_aig.errors import InputError, unknown

NAMES = (
    "gaussian-noise",
    "shot-noise",
    "impulse-noise",
    "gaussian-blur",
    "motion-blur",
    "brightness",
    "contrast",
    "saturation",
    "pixelate",
    "jpeg",
)
"""Those that are computed here; files have names of their own."""

ALL = "all"
"""Stands for every kind."""

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corruption:
    """One kind of change, and how much of it.

    Attributes:
        name: one of `NAMES`, or that of a file.
        severity: 1 to 5.
    """

    name: str
    severity: int

    @classmethod
    def parse(cls, text: str, known: Sequence[str] = NAMES) -> list[Corruption]:
        """Read `gaussian-noise:3`; without a number all five severities; `all` is every known kind.

        Args:
            text: as typed.
            known: the names to choose from.

        Raises:
            InputError: naming what is wrong and what to write instead.
        """
        name, colon, severity = text.strip().partition(":")
        if name not in {ALL, *known}:
            raise InputError(unknown("corruption", name, {ALL, *known}))
        if colon and severity not in {str(number) for number in SEVERITIES}:
            raise InputError(f"corruption '{text}' needs a severity from 1 to 5, like {name}:3")
        severities = [int(severity)] if colon else SEVERITIES
        return [cls(each, number) for each in (known if name == ALL else [name]) for number in severities]

    def __str__(self) -> str:
        return f"corruption {self.name} {self.severity}"
