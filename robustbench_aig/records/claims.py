"""Sentences with their verdicts. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robustbench_aig.defence_names import JpegDefence
from robustbench_aig.recipes.claim_recipes import Certainty
from robustbench_aig.records.base import Record, RecordedThreat

ClaimVerdict = Literal[
    "supported", "not refuted", "explained by randomness", "explained by masking", "unsupported", "inconclusive"
]
"""What evidence says of a sentence. What no attack is said to do is "not refuted" where none that ran did it."""

_NAMED = 2
"""Attacks that are named; more are counted."""
CheckState = Literal["no fail", "failed", "not run", "not needed"]


class Source(Record):
    """Where the paper says a sentence, and how sure that is."""

    certainty: Certainty
    place: str | None

    def __str__(self) -> str:
        told = _CERTAIN[self.certainty]
        return f"{self.place}; {told}" if self.place else told


_CERTAIN: dict[Certainty, str] = {
    "read": "read there",
    "read off a figure": "read off the figure",
    "second-hand": "told by somebody who had read it",
    "ours": "no source says so",
}


class Measurement(Record):
    """One number that a claim rests on, and what it says alone."""

    what: str
    threat: RecordedThreat | None = None
    value: float
    low: float = Field(description="of the 95 % interval; equal to the value where it is exact")
    high: float
    n: int | None = Field(description="images; null where none are involved")
    verdict: ClaimVerdict
    reason: str
    decides: bool = Field(True, description="false at the floor, where others decide if they can")
    beside: dict[str, float] = Field(default_factory=dict, description="what else was looked at, by name")
    attacks: list[str] = Field(
        default_factory=list, description="that could have refuted it, where the claim is about every attack"
    )

    @property
    def ruled(self) -> str:
        """The verdict, and how many attacks have not refuted what isn't refuted."""
        return _ruled(self.verdict, self.attacks)


class Claim(Record):
    """A sentence, whom it was asked of, and its verdict."""

    id: str
    sentence: str
    reference: str | None
    source: Source | None = Field(None, description="null in reports of earlier versions")
    gated: list[str] = Field(description="networks, one for each training seed")
    gate_policy: str | None = Field(description="null where the claim doesn't depend on one")
    defence: JpegDefence | None = Field(None, description="what stands before all of these networks")
    plain: list[str] = Field(description="that they are compared with; empty where the claim compares none")
    verdict: ClaimVerdict
    reason: str
    scope: str = Field(description="for whom it holds: these networks, or further training seeds")
    checks: CheckState
    failed_checks: list[str] = Field(default_factory=list, description="as 'run (policy): check'")
    measurements: list[Measurement]
    attacks: list[str] = Field(
        default_factory=list,
        description="that could have refuted it at the strength that decides, where it is about every attack",
    )

    @property
    def ours(self) -> bool:
        """Whether no source was found that says it: the sentence is ours, and not the paper's."""
        return self.source is not None and self.source.certainty == "ours"

    @property
    def told(self) -> str:
        """The sentence, and which defence it's about."""
        return f"{self.sentence}, behind {self.defence}" if self.defence else self.sentence

    @property
    def ruled(self) -> str:
        """The verdict, and which attacks have not refuted what isn't refuted: `not refuted by pgd`."""
        return _ruled(self.verdict, self.attacks)


def _ruled(verdict: ClaimVerdict, attacks: list[str]) -> str:
    if verdict != "not refuted":
        return verdict
    return f"{verdict} by {' and '.join(attacks) if len(attacks) <= _NAMED else f'{len(attacks)} attacks'}"
