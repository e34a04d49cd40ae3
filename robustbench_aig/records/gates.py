"""What the gates did, and how far they moved. No torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from robustbench_aig.records.base import Record

_DIGITS = 7
"""So many of a figure are kept: most of a report is these figures, and images are far fewer than ten million."""


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


Figure = Annotated[float, AfterValidator(_short)]
"""A number to seven digits."""


class ClassPart(Record):
    """The part of a shift that leads to the gates of the class that images are taken for, and the part beside it.

    Over images that were right when clean and are wrong attacked, where the gates of the two classes are told apart.
    """

    n: int
    alpha: Figure = Field(description="fraction of the way gone; images weigh by the squared length of their way")
    explained: Figure = Field(description="mean squared length along that way")
    residual: Figure = Field(description="mean squared length beside it: the change's own")
    share: Figure | None = Field(
        description="explained / (explained + residual); null where the noise of draws hides their sum"
    )


class LargestFlips(Record):
    """The gate that flips on most images, with a 95 % interval of the largest share, whichever gate has it."""

    gate: int = Field(description="its position among the model's gates, from 0")
    value: Figure
    low: Figure
    high: Figure


class GateMoves(Record):
    """How far the gates of n images are from where they are on the clean images. Lists follow the model's gates."""

    n: int
    flip_rate: Figure = Field(description="share of (image, gate) pairs whose decision changed, noise held equal")
    shift: Figure | None = Field(
        description="mean over images of the sum over gates of (p_adv - p_clean)^2, p being the mean over draws, "
        "corrected for the noise of that mean; null where the sample table is older than the columns it takes"
    )
    divergence: Figure | None = Field(description="mean Jensen-Shannon divergence of a gate, in bits; null as above")
    overlap: Figure = Field(description="mean Jaccard index of the blocks that ran, noise held equal")
    paths: int = Field(description="distinct sets of blocks that ran, one draw per image")
    path_entropy: Figure = Field(description="of these sets over images, in bits")
    class_part: ClassPart | None = Field(description="null where no image has such a way")
    largest: LargestFlips | None = Field(None, description="null for a class, and in reports of earlier versions")
    flip_rates: list[Figure] = Field(description="per gate; empty for a class")
    shifts: list[Figure] = Field(description="per gate; empty for a class, and where `shift` is null")
    divergences: list[Figure] = Field(description="as `shifts`")


class Excess(Record):
    """A difference of shifts, paired on n images, with its 95 % interval (Student's t)."""

    value: Figure
    low: Figure
    high: Figure
    n: int


class GateStratum(Record):
    """Images that belong together: how far an attack moved their gates, and how far controls moved the same ones."""

    by: Literal["all", "outcome", "class"]
    name: str = Field(description="'all'; 'fooled', 'held' or 'already wrong'; a true class")
    clean_paths: int
    clean_path_entropy: Figure
    attacked: GateMoves
    corners: GateMoves | None = Field(description="under random ±eps noise; null where that control didn't run")
    permuted: GateMoves | None = Field(description="under another image's change; null where that control didn't run")
    beyond_corners: Excess | None = Field(description="attacked.shift - corners.shift")
    beyond_permuted: Excess | None = Field(description="attacked.shift - permuted.shift")


class GateShift(Record):
    """One gate over all images."""

    gate: str
    rate_clean: Figure
    rate_adv: Figure
    flip_rate: Figure
    noise_flip_rate: Figure | None


class ClassShift(Record):
    """Execution rate of every gate over the images of one true class."""

    label: str
    n: int
    rates_clean: list[Figure]
    rates_adv: list[Figure]


class ExplainedShare(Record):
    """The share of the variance of decisions that the image explains, with its 95 % interval over images.

    An unbiased estimate: of gates that do not look it is as often below 0 as above.
    """

    value: float
    low: float
    high: float


class GateDependence(Record):
    """Whether one gate decides by the image."""

    gate: str
    rate: float = Field(description="share of decisions that are open")
    explained: ExplainedShare | None = Field(description="null where it decides alike for all images and draws")
    by_image: bool | None = Field(
        description="whether the image explains at least 30 % of its decisions' variance, and its rarer decision has a "
        "share of at least 5 %; null where the images are too few to tell"
    )


class Dependence(Record):
    """Whether the gates decide by the image. Over n clean images; gates forced open are left out."""

    n: int
    explained: ExplainedShare | None = Field(description="of all gates' variance together; null where none varies")
    paths: int = Field(description="distinct sets of blocks that ran, one draw per image")
    deciding: int = Field(description="gates that decide by the image")
    unclear: int = Field(description="gates of which the images are too few to tell")
    looks: bool | None = Field(
        description="whether at least half of the gates decide by the image; null where the images are too few to tell"
    )
    gates: list[GateDependence]


class Gates(Record):
    """What the gates did, clean against attacked. Rates are shares of images; lists follow the model's gates."""

    flip_rate: float = Field(description="share of (image, gate) pairs whose decision changed, noise held equal")
    flip_low: float | None = Field(
        None,
        description="of its 95 % interval over images, for all attacks in the same ball at once; null in earlier "
        "reports",
    )
    flip_high: float | None = None
    noise_flip_rate: float | None = Field(description="the same under random ±eps noise; null where no control ran")
    shift: float = Field(description="mean over images of the sum over gates of (p_adv - p_clean)^2, along one draw")
    per_gate: list[GateShift]
    per_class: list[ClassShift]
    strata: list[GateStratum] = Field(default_factory=list, description="how far they moved; empty where not attacked")
    dependence: Dependence | None = Field(
        None,
        description="whether they decide by the image, of clean images alone; null where the policy doesn't "
        "choose by image, or open probabilities over draws weren't recorded",
    )
