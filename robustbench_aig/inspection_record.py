"""The record of an inspection, `inspect.json`: what the blocks of one network do on clean images. No torch.

The figures are those of Veit and Belongie (arXiv 1711.11503, section 4) and the lesion study of Veit, Wilber and
Belongie, "Residual networks behave like ensembles of relatively shallow networks" (arXiv 1605.06431, section 4.1).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from robustbench_aig.records import Accuracy, DataRecord, Dependence, ModelRecord, Record


class Lesion(Record):
    """The network without the residual branch of one block, whose shortcut stays; on the same images and noise."""

    block: str = Field(description="stage.block, counted from 1")
    transition: bool = Field(description="the block changes the resolution or width; its shortcut is a projection")
    accuracy: Accuracy
    difference: float = Field(description="accuracy without the block minus the intact accuracy")
    lost: int = Field(description="images that only the intact network gets right")
    gained: int = Field(description="images that only the network without the block gets right")
    p_value: float = Field(description="exact McNemar, not corrected for the number of blocks")


class ImageUse(Record):
    """What the gates did with one image."""

    image: int = Field(description="index in the split, stable for a data set")
    blocks: int = Field(description="executed gated blocks")
    open_probability: float = Field(description="sum over gates: breaks ties between images with equally many blocks")
    executed: list[bool] = Field(description="by gate")
    prediction: str = Field(description="class")
    correct: bool


class ClassUse(Record):
    """What the gates did with the images of one true class."""

    label: str
    n: int
    rates: list[float] = Field(description="execution rate by gate")
    factors: list[float] | None = Field(default=None, description="mean factor by gate, where blocks are scaled")
    histogram: list[int] = Field(description="images by number of executed blocks, 0 … gates")
    fewest: list[ImageUse] = Field(description="the images that use the fewest blocks, from the fewest")
    most: list[ImageUse] = Field(description="the images that use the most blocks, from the most")

    @property
    def shares(self) -> list[float]:
        """By gate: the mean factor where blocks are scaled, else the execution rate."""
        return self.factors or self.rates


class History(Record):
    """Execution rates on the validation images, epoch by epoch while the network was trained."""

    policy: str = Field(description="gate policy that they were measured under")
    epochs: list[int]
    rates: list[list[float]] = Field(description="by epoch and gate")


class Factor(Record):
    """What a gate multiplied its block by, over the images; of a factor per channel or pixel, the mean."""

    mean: float
    low: float = Field(description="5th percentile over images")
    high: float = Field(description="95th percentile over images")


class GateUse(Record):
    """What the gates did; lists follow the model's gates. A block is executed where its decision isn't 0."""

    rates: list[float] = Field(description="execution rate: share of images whose block is executed")
    factors: list[Factor] | None = Field(
        default=None, description="by gate, where blocks are scaled; null where they are executed or skipped"
    )
    histogram: list[int] = Field(description="images by number of executed blocks, 0 … gates")
    per_class: list[ClassUse] = Field(description="classes with at least one image")
    history: History | None = Field(description="null where gates were not trained here")
    dependence: Dependence | None = Field(
        None, description="whether they decide by the image; null where the policy doesn't choose by image"
    )

    @property
    def shares(self) -> list[float]:
        """By gate: the mean factor where blocks are scaled, else the execution rate."""
        return [factor.mean for factor in self.factors] if self.factors else self.rates

    @property
    def n(self) -> int:
        """Number of images."""
        return sum(self.histogram)

    @property
    def selective(self) -> bool:
        """Whether some block was skipped for some image."""
        return self.histogram[-1] < self.n


class Inspection(Record):
    """`inspect.json`. Under a random policy every image gets one draw, the same for the intact network and lesions."""

    schema_version: Literal["2"] = "2"
    created: str
    command: str
    seed: int
    environment: dict[str, Any]
    data: DataRecord
    model: ModelRecord
    policy: str = Field(description="how the gates decide: 'none' for a plain network")
    accuracy: Accuracy = Field(description="of the intact network")
    lesions: list[Lesion] = Field(description="one per residual block")
    gates: GateUse | None = Field(description="null for a network without gates")
