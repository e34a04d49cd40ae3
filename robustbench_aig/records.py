"""The record of an evaluation: the plan written before, the report made after. No torch.

A report directory holds `plan.json` (what is measured, written first), `samples/<evaluation>.parquet` (one row per
image: the evidence), `images/<evaluation>.safetensors` (a sample of the attacked images), `times.json` (seconds
spent), `latency.json` (`Latency` of some evaluations) and `report.json`, which is a function of the former.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from robustbench_aig.gate_records import ComputeSpread, GateStratum
from robustbench_aig.recipes import Family

SCHEMA_VERSION = "1"

Status = Literal["ok", "error"]
Role = Literal["clean", "attack", "control", "compute", "corruption"]
"""Only attacks count in the union: not controls (random noise), attacks on the compute and common corruptions."""

Precision = Literal["fp32", "bf16"]


class Record(BaseModel):
    """Base: unknown keys are refused, so a typo or a foreign file cannot pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ThreatRecord(Record):
    """A threat as written: `{norm: "linf", eps: "4/255", value: 0.0157}`."""

    norm: Literal["linf", "l2"]
    eps: str
    value: float

    def __str__(self) -> str:
        return f"{self.norm} {self.eps}"


class CorruptionRecord(Record):
    """A common corruption: `{name: "jpeg", severity: 3, source: "computed"}`."""

    name: str
    severity: int
    source: str = Field(description="'computed', or the SHA-256 of the file that its images are read from")

    def __str__(self) -> str:
        return f"corruption {self.name} {self.severity}"


class DataRecord(Record):
    """The images that were evaluated."""

    name: str
    split: str
    n: int = Field(description="images evaluated")
    available: int = Field(description="images in the split")
    shape: tuple[int, int, int] = Field(description="channels, height, width")
    classes: list[str]
    digest: str = Field(description="SHA-256 over the evaluated images and labels")


class GateRecord(Record):
    """One gate: where it sits and what it can save."""

    name: str = Field(description="stage.block, counted from 1")
    macs: int = Field(description="multiply-accumulates of the block it can skip")
    target: float | None = Field(None, description="execution rate it was trained towards; 1 = forced open")
    transition: bool = Field(False, description="its block changes the resolution or width")


class ModelRecord(Record):
    """A trained network under evaluation."""

    name: str = Field(description="name of the run")
    recipe: str
    family: Family
    parameters: int
    total_macs: int = Field(description="multiply-accumulates with every gate open")
    gates: list[GateRecord] = Field(default_factory=list)
    rates: list[float] | None = Field(None, description="execution rates of the gates under the policy 'random'")
    defence: str | None = Field(None, description="what stands before the network: 'jpeg 75'")
    weights_digest: str
    training: dict[str, Any] = Field(default_factory=dict, description="what the run recorded of itself")


class EvaluationPlan(Record):
    """One measurement: a model under a gate policy, an attack and a threat."""

    id: str = Field(description="file name of its rows")
    model: str
    policy: str
    attack: str
    role: Role
    provider: str
    provider_version: str
    settings: dict[str, Any] = Field(default_factory=dict, description="the attack's resolved recipe")
    threat: ThreatRecord | None = None
    corruption: CorruptionRecord | None = None


class Plan(Record):
    """What is measured, fixed before the first pass: the digest covers all that decides the numbers."""

    schema_version: str = SCHEMA_VERSION
    created: str
    command: str
    seed: int
    digest: str
    chunk: int = Field(description="images per unit of work")
    draws: int = Field(description="scoring draws per image of a random policy")
    cascade: bool = Field(False, description="attacks skip images that are lost already, in the plan's order")
    precision: Precision = Field("fp32", description="in which our own attacks work; what they say is judged in fp32")
    environment: dict[str, Any]
    data: DataRecord
    models: list[ModelRecord]
    evaluations: list[EvaluationPlan]
    ladder: list[Rung] = Field(default_factory=list, description="empty where no ladder was asked for")


class Rung(Record):
    """One rung of the ladder of controls: a model under a gate policy."""

    key: str = Field(description="R0, R0', R1, …")
    title: str
    model: str | None = Field(description="null where the control has not been trained")
    policy: str
    note: str | None = Field(None, description="why it is missing, or how its training differs")


class Accuracy(Record):
    """A share of right answers with its 95 % interval.

    With one draw per image it is `count / n` with Wilson's interval. With more draws it is the mean over draws with
    a bootstrap interval over images, and `count` is null.
    """

    value: float
    low: float
    high: float
    n: int
    draws: int
    count: int | None
    interval: Literal["wilson", "bootstrap"]
    majority: float | None = Field(None, description="share of images whose plurality vote is right")
    all_right: float | None = Field(None, description="share of images that every draw got right")
    any_right: float | None = Field(None, description="share of images that at least one draw got right")


class Distance(Record):
    """Measured size of the changes, over images."""

    linf_max: float
    linf_mean: float
    l2_max: float
    l2_mean: float


class Gates(Record):
    """What the gates did, clean against attacked. Rates are shares of images; lists follow the model's gates."""

    flip_rate: float = Field(description="share of (image, gate) pairs whose decision changed, noise held equal")
    noise_flip_rate: float | None = Field(description="the same under random ±eps noise; null where no control ran")
    shift: float = Field(description="mean over images of the sum over gates of (p_adv - p_clean)^2, along one draw")
    per_gate: list[GateShift]
    per_class: list[ClassShift]
    strata: list[GateStratum] = Field(default_factory=list, description="how far they moved; empty where not attacked")


class GateShift(Record):
    """One gate over all images."""

    gate: str
    rate_clean: float
    rate_adv: float
    flip_rate: float
    noise_flip_rate: float | None


class ClassShift(Record):
    """Execution rate of every gate over the images of one true class."""

    label: str
    n: int
    rates_clean: list[float]
    rates_adv: list[float]


class Latency(Record):
    """How long a network that skips closed blocks takes for attacked images, over their clean versions.

    A median over interleaved pairs of batches, with an interval that holds the true one with at least 95 %. A copy of
    the network that is made for inference, in float32, on the kept images that both evaluations measured.
    """

    ratio: float = Field(gt=0, description="attacked / clean")
    low: float = Field(gt=0)
    high: float = Field(gt=0)
    clean_ms_per_image: float = Field(gt=0, description="median, in milliseconds")
    images: int = Field(ge=1, description="of a batch")
    pairs: int
    device: str
    threads: int


class Compute(Record):
    """Executed multiply-accumulates per image."""

    clean_macs: float
    adversarial_macs: float
    change: float = Field(description="(adversarial - clean) / clean")
    recovered: float | None = Field(
        description="(adversarial - clean) / (all open - clean); null where nothing was saved"
    )
    p95: float = Field(description="95th percentile of the attacked images")
    spread: ComputeSpread | None = Field(None, description="null in reports of earlier versions")
    latency: Latency | None = Field(None, description="null where it wasn't measured; no function of the sample table")


class Cost(Record):
    """What the attack spent: passes per image that it was run on, and seconds, summed over processes."""

    forwards: float
    backwards: float
    seconds: float


class Evaluation(Record):
    """The result of one measurement."""

    id: str
    model: str
    gate_policy: str
    attack: str
    role: Role
    provider: str
    provider_version: str
    threat: ThreatRecord | None
    corruption: CorruptionRecord | None = None
    status: Status
    errors: int = Field(description="images whose attack or judgement failed; they count as lost")
    skipped: int = Field(0, description="images not attacked, because they were lost before; they count as lost")
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


class WorstCase(Record):
    """The union: every image under the attack that is worst for it, chosen and scored on disjoint draws."""

    model: str
    gate_policy: str
    threat: ThreatRecord
    attacks: list[str]
    status: Status
    accuracy: Accuracy
    strongest: dict[str, int] = Field(description="attack -> images for which it was chosen")
    alone: dict[str, int] = Field(
        default_factory=dict, description="attack -> images lost to it in most draws, and to no other; not in a cascade"
    )
    others_only: list[int] = Field(
        default_factory=list,
        description="images lost in most draws to attacks of other providers, and neither to ours nor unattacked; none "
        "in a cascade, and none where all attacks are ours, or none is",
    )
    own_accuracy: Accuracy | None = Field(
        None, description="of the union over our attacks alone; null in a cascade, and where all are ours, or none is"
    )


class CorruptionMean(Record):
    """Mean accuracy over the severities of one corruption, or over all corruptions at the same severities."""

    model: str
    gate_policy: str
    name: str | None = Field(description="null for the mean over all")
    severities: list[int]
    status: Status
    accuracy: Accuracy = Field(description="an image's draws are those of all that is averaged")


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
    low: float
    high: float
    only_gated: float = Field(description="images that only the gated model got right (draws averaged)")
    only_plain: float
    p_value: float | None = Field(description="exact McNemar; null where a policy is random, and for a mean")
    holm_p: float | None = Field(
        None, description="p_value after Holm, over the family of all comparisons of the report that have one"
    )
    equivalence: Literal["equivalent", "different", "different but within the margin", "undecided"] | None = Field(
        None,
        description="at a margin of one point (±0.01), by the 90 % bootstrap interval (TOST); 'different' by the 95 % "
        "interval and, where there is one, p_value < 0.05; null where images failed",
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
    low: float
    high: float
    p_value: float | None = Field(description="exact McNemar; null where a policy is random, and for a mean")


class Ladder(Record):
    """The ladder of controls: its rungs, and what the steps between them measure."""

    rungs: list[Rung]
    steps: list[Step]


class Accuracies(Record):
    """Accuracy of the two models on one set of images."""

    gated: Accuracy
    plain: Accuracy


class Check(Record):
    """An automatic test of whether a number deserves belief."""

    id: str
    verdict: Literal["pass", "warn", "fail", "n/a"]
    sentence: str
    evidence: dict[str, Any] = Field(default_factory=dict)


class Claim(Record):
    """A sentence with a verdict."""

    id: str
    sentence: str
    verdict: Literal["supported", "explained by randomness", "explained by masking", "unsupported", "inconclusive"]
    evidence: dict[str, Any] = Field(default_factory=dict)


class Report(Record):
    """`report.json`: every number a function of the sample table."""

    schema_version: str = SCHEMA_VERSION
    status: Literal["complete", "partial", "error"]
    created: str
    command: str
    seed: int
    digest: str
    environment: dict[str, Any]
    data: DataRecord
    models: list[ModelRecord]
    evaluations: list[Evaluation]
    worst_case: list[WorstCase]
    corruptions: list[CorruptionMean] = Field(default_factory=list)
    comparisons: list[Comparison]
    ladder: Ladder | None = None
    checks: list[Check] = Field(default_factory=list)
    claims: list[Claim] = Field(default_factory=list)


def report_json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `report.json`."""
    schema = Report.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
