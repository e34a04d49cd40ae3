"""What was executed, and how long it took. No torch."""

from __future__ import annotations

from pydantic import Field

from robustbench_aig.records.base import Record


class ComputeSpread(Record):
    """What a mean over images and draws doesn't tell of the executed multiply-accumulates."""

    clean_p95: float = Field(description="95th percentile of the clean images")
    up_share: float = Field(description="share of images that execute more than when clean, noise held equal")
    down_share: float = Field(description="the same, less")
    clean_expected: float | None = Field(
        description="by probabilities: what always runs + sum over gates of p * MACs, p being the mean over all draws; "
        "null unless gates are sampled, and where the sample table is older than the columns it takes"
    )
    adversarial_expected: float | None


class Clocked(Record):
    """A ratio of times: a median over interleaved pairs of batches, with an interval that holds the true one with 95 %.

    Of copies of networks that are made for inference, in float32.
    """

    ratio: float = Field(gt=0)
    low: float = Field(gt=0)
    high: float = Field(gt=0)
    images: int = Field(ge=1, description="of a batch")
    pairs: int
    device: str
    threads: int


class Latency(Clocked):
    """How long a network that skips closed blocks takes for attacked images, over their clean versions.

    On the kept images that both evaluations measured.
    """

    clean_ms_per_image: float = Field(gt=0, description="median, in milliseconds")


class Pace(Clocked):
    """How long a network that skips closed blocks takes for clean images, over a plain one."""

    plain: str = Field(description="name of the plain network")
    ms_per_image: float = Field(gt=0, description="of the gated network, median, in milliseconds")
    plain_ms_per_image: float = Field(gt=0)


class BeyondNoise(Record):
    """Recovered compute of an attack minus that of random-sign noise, on n images that both measured.

    Its interval holds with 95 % for all attacks on the compute in the same ball at once (Bonferroni): whichever of them
    recovers most.
    """

    value: float
    low: float
    high: float
    n: int


class Compute(Record):
    """Executed multiply-accumulates per image."""

    clean_macs: float
    adversarial_macs: float
    change: float = Field(description="(adversarial - clean) / clean")
    recovered: float | None = Field(
        description="(adversarial - clean) / (all open - clean); null where nothing was saved"
    )
    recovered_low: float | None = Field(
        None,
        description="of its 95 % interval over images, for all attacks on the compute in the same ball at once; null "
        "as `recovered`, and in earlier reports",
    )
    recovered_high: float | None = None
    beyond_noise: BeyondNoise | None = Field(
        None, description="null but for attacks on the compute, without that control, and in earlier reports"
    )
    p95: float = Field(description="95th percentile of the attacked images")
    spread: ComputeSpread | None = Field(None, description="null in reports of earlier versions")
    pace: Pace | None = Field(None, description="of clean images; null where it wasn't measured")
    latency: Latency | None = Field(None, description="null where it wasn't measured; no function of the sample table")


class Cost(Record):
    """What the attack spent: passes per image that it was run on, and seconds, summed over processes."""

    forwards: float
    backwards: float
    seconds: float | None = Field(description="null where it isn't known any more")
