"""The results of measurements: accuracies under each attack, and in the worst case over attacks. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from robustbench_aig.records.base import CorruptionRecord, Draws, FileName, Record, RecordedThreat, Role, Status
from robustbench_aig.records.compute import Compute, Cost
from robustbench_aig.records.gates import Gates


class Accuracy(Record):
    """A share of right answers with its 95 % interval.

    Draws "exact" stand for all that the gates can decide, each pattern by its probability: the value is the mean over
    images of the probability of a right answer.

    With one draw per image it is `count / n` with Wilson's interval. With more draws it is the mean over draws with
    Student's t interval over images and one more at 0 and at 1, and `count` is null.
    """

    value: float
    low: float
    high: float
    n: int
    draws: Draws
    count: int | None
    interval: Literal["wilson", "student", "bootstrap"] = Field(description="bootstrap in older reports alone")
    majority: float | None = Field(
        None, description="share of images whose plurality vote is right; exact: whose likeliest answer is"
    )
    all_right: float | None = Field(
        None, description="share of images that every one of the draws got right; null where exact"
    )
    any_right: float | None = Field(
        None, description="share of images that at least one of the draws got right; null where exact"
    )
    when_asked: dict[int, float] | None = Field(
        None,
        description="k -> accuracy against an attacker who may ask k times: share of images right in all of k answers, "
        "unbiased, for k up to the draws; null for deterministic networks",
    )


class Distance(Record):
    """Measured size of the changes, over images."""

    linf_max: float
    linf_mean: float
    l2_max: float
    l2_mean: float


class Evaluation(Record):
    """The result of one measurement."""

    id: FileName
    model: str
    gate_policy: str
    attack: str
    role: Role
    provider: str
    provider_version: str
    settings_digest: str | None = Field(
        None, description="of the attack's settings, and of a foreign provider's version; null in early reports"
    )
    threat: RecordedThreat | None
    corruption: CorruptionRecord | None = None
    status: Status
    errors: int = Field(description="images whose attack or judgement failed; they count as misclassified")
    skipped: int = Field(
        0, description="images not attacked, because an earlier attack broke them; they count as misclassified"
    )
    n: int
    clean_accuracy: Accuracy
    robust_accuracy: Accuracy = Field(
        description="what is left of n images; with skipped ones it's left by this attack and all before it, which "
        "bounds the accuracy under this attack alone from below and isn't comparable between attacks"
    )
    distance: Distance | None
    gates: Gates | None = Field(description="null for a plain model")
    compute: Compute | None = Field(description="null where every image failed")
    cost: Cost


def guessing(evaluations: Sequence[Evaluation], commonest: float) -> list[Evaluation]:
    """Those on clean images not significantly better than always naming the largest class, of that share."""
    return [e for e in evaluations if e.role == "clean" and e.clean_accuracy.low <= commonest]


class WorstCase(Record):
    """The worst case over attacks: each image under its worst attack, chosen and scored on disjoint draws."""

    model: str
    gate_policy: str
    threat: RecordedThreat
    attacks: list[str]
    status: Status
    accuracy: Accuracy
    strongest: dict[str, int] = Field(description="attack -> images for which it was chosen")
    alone: dict[str, int] = Field(
        default_factory=dict, description="attack -> images that it alone breaks, in most draws; not in a cascade"
    )
    beyond: dict[str, int] = Field(
        default_factory=dict,
        description="gate-aware attack -> images that it breaks in most draws and no gate-unaware attack does; not "
        "in a cascade, and none without gates",
    )
    others_only: list[int] = Field(
        default_factory=list,
        description="images that only attacks of other providers break, in most draws; none "
        "in a cascade that has one of ours after one of theirs, and none where all attacks are ours, or none is",
    )
    own_accuracy: Accuracy | None = Field(None, description="in the worst case over our attacks; null as others_only")


class CorruptionMean(Record):
    """Mean accuracy over the severities of one corruption, or over all corruptions at the same severities."""

    model: str
    gate_policy: str
    name: str | None = Field(description="null for the mean over all")
    severities: list[int]
    status: Status
    accuracy: Accuracy = Field(description="an image's draws are those of all that is averaged")
