"""Differences on the same images: gated against plain, and the steps of an ablation. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robustbench_aig.records.base import Record, RecordedThreat, Status
from robustbench_aig.records.evaluation import Accuracy
from robustbench_aig.records.networks import InitialWeights
from robustbench_aig.records.plan import Rung


class Accuracies(Record):
    """Accuracy of the two models on one set of images."""

    gated: Accuracy
    plain: Accuracy


class Difference(Record):
    """Of two accuracies on the same images, in shares (not points)."""

    attack: str = Field(description="recipe name, 'clean', 'union', 'jpeg:3' or, for their mean, 'corruptions'")
    threat: RecordedThreat | None
    status: Status
    n: int
    difference: float
    low: float = Field(description="of the 95 % interval, which excludes 0 exactly where p_value < 0.05")
    high: float
    p_value: float | None = Field(description="exact McNemar; null where a policy is random, and for a mean")


class Comparison(Difference):
    """Gated minus plain on the same images, in shares (not points)."""

    gated: str
    gate_policy: str
    plain: str
    only_gated: float = Field(description="images that only the gated model got right (draws averaged)")
    only_plain: float
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
        description="the smallest difference that so many images, with so many discordant, detect with 80 % power at "
        "5 %; null where images failed, and where fewer than six could show none",
    )
    both_correct: Accuracies | None = Field(description="among images both classify right when clean (majority vote)")


class MeanDifference(Difference):
    """Gated minus plain, each the mean over its training seeds; from three on the interval is for further seeds, too.

    Without a p-value where there are several of either.
    """

    gated: float = Field(description="accuracy, mean over the networks")
    plain: float


class SeedGroup(Record):
    """Networks that differ in their training seed alone."""

    names: list[str] = Field(description="in the order of their seeds")
    recipe: str
    epochs: int | None
    initial: list[InitialWeights] = Field(
        default_factory=list, description="what their trainings began with; empty: random weights, or not known"
    )
    choice_accuracy: float = Field(description="on the images that `chosen_on` says, mean over the networks")


class Rival(Record):
    """Plain networks, and by how much gated ones are more accurate, over all images of the report."""

    networks: SeedGroup
    differences: list[MeanDifference] = Field(
        description="clean, in the worst case over attacks at each threat, and on average over corruptions"
    )


ChosenOn = Literal["validation images", "images of the report"]


class CleanMatch(Record):
    """Gated networks beside the plain ones nearest in clean accuracy, and beside their usual twins."""

    gated: SeedGroup
    gate_policy: str
    chosen_on: ChosenOn = Field(
        description="clean: validation images, where the accuracy of all these networks on them is known"
    )
    usual: Rival
    nearest: Rival | None = Field(description="null where the usual twins are the nearest")
    left_out: list[str] = Field(
        description="plain networks not known to be trained on the same data from the same seeds"
    )


class Step(Difference):
    """The difference between two networks of the ablation on the same images, in shares."""

    upper: str
    lower: str
    isolates: str = Field(description="the one thing in which the two networks differ")


class Ladder(Record):
    """The ablation: its networks under their policies, and the differences between them."""

    rungs: list[Rung]
    steps: list[Step]
