"""Differences on the same images: gated against plain, and rung by rung. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robustbench_aig.records.base import Record, Status, ThreatRecord
from robustbench_aig.records.evaluation import Accuracy
from robustbench_aig.records.plan import Rung


class Accuracies(Record):
    """Accuracy of the two models on one set of images."""

    gated: Accuracy
    plain: Accuracy


class Comparison(Record):
    """Gated minus plain on the same images, in shares (not points)."""

    gated: str
    gate_policy: str
    plain: str
    attack: str = Field(description="recipe name, 'clean', 'union', 'jpeg:3' or, for their mean, 'corruptions'")
    threat: ThreatRecord | None
    status: Status
    n: int
    difference: float
    low: float = Field(description="of the 95 % interval, which excludes 0 exactly where p_value < 0.05")
    high: float
    only_gated: float = Field(description="images that only the gated model got right (draws averaged)")
    only_plain: float
    p_value: float | None = Field(description="exact McNemar; null where a policy is random, and for a mean")
    holm_p: float | None = Field(
        None, description="p_value after Holm, over the family of all comparisons of the report that have one"
    )
    equivalence: Literal["equivalent", "different", "different but within the margin", "undecided"] | None = Field(
        None,
        description="at a margin of one point (±0.01), by the 90 % interval (TOST); 'different' where the 95 % "
        "interval excludes 0; null where images failed",
    )
    detectable: float | None = Field(
        None,
        description="the smallest difference that so many images, as discordant as these, show with 80 % power at 5 %; "
        "null where images failed, and where fewer than six could show none",
    )
    both_correct: Accuracies | None = Field(description="among images both get right unattacked (majority vote)")


class Step(Record):
    """The difference between two rungs of the ladder on the same images, in shares."""

    upper: str
    lower: str
    isolates: str = Field(description="the one thing in which the rungs differ")
    attack: str = Field(description="recipe name, 'clean', 'union', 'jpeg:3' or, for their mean, 'corruptions'")
    threat: ThreatRecord | None
    status: Status
    n: int
    difference: float
    low: float = Field(description="of the 95 % interval, which excludes 0 exactly where p_value < 0.05")
    high: float
    p_value: float | None = Field(description="exact McNemar; null where a policy is random, and for a mean")


class Ladder(Record):
    """The ladder of controls: its rungs, and what the steps between them measure."""

    rungs: list[Rung]
    steps: list[Step]
