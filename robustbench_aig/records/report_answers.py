"""The answers that a report gives first. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robustbench_aig.records.base import Record, RecordedThreat

QuestionName = Literal["more-robust", "slower", "gates"]
QUESTIONS: dict[QuestionName, str] = {
    "more-robust": "Is the gated network more robust?",
    "slower": "Can an attacker make it slower?",
    "gates": "Do the gates look at the image, and do they move under attack?",
}
"""In the order in which they are answered."""

AnswerVerdict = Literal[
    "yes",
    "no",
    "hardly",
    "not significantly different",
    "explained by randomness",
    "explained by masking",
    "inconclusive",
    "not measured",
]


class Answer(Record):
    """What the evidence says to one question about gated networks of one recipe, under one gate policy.

    The number is a mean over the networks. Its interval is that of a claim over training seeds, or else reaches from
    the lowest to the highest of the networks' own.
    """

    question: QuestionName
    asked: str = Field(description="the question in words")
    gated: list[str] = Field(description="networks, one for each training seed")
    gate_policy: str
    plain: list[str] = Field(description="that they are compared with; empty where there is nothing to compare")
    verdict: AnswerVerdict
    told: str = Field(description="the verdict in a few words")
    what: str = Field(description="what was measured; empty where nothing was")
    threat: RecordedThreat | None = Field(None, description="the perturbation budget that the number belongs to")
    value: float | None = Field(None, description="a share, or a difference of shares")
    low: float | None = Field(None, description="of the 95 % interval; null where none is known")
    high: float | None = None
    noise: float | None = Field(None, description="the same number under random-sign noise of the same budget")
    n: int | None = Field(None, description="images")
    reason: str = Field(description="why, in words")
    evidence: list[str] = Field(default_factory=list, description="ids of the evaluations that the number rests on")
    command: str | None = Field(None, description="that brings what is missing; null where nothing is, or none can")
