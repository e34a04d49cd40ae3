"""What is known of a network: its gates, what stands before it, how it was trained. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robustbench_aig.defence_names import JpegDefence
from robustbench_aig.hub_names import Hub
from robustbench_aig.recipes import Family
from robustbench_aig.records.base import Precision, Record, RecordedThreat


class GateRecord(Record):
    """One gate: where it sits and what it can save."""

    name: str = Field(description="stage.block, counted from 1; its position where stages aren't known")
    stage: int | None = Field(None, description="counted from 1; null where stages aren't known")
    macs: int | None = Field(description="multiply-accumulates of the block it can skip; null where unknown")
    target: float | None = Field(None, description="execution rate it was trained towards; 1 = forced open")
    transition: bool = Field(False, description="its block changes the resolution or width")


class AdversarialRecord(Record):
    """That a network was trained on attacked images, and in which ball."""

    method: Literal["pgd", "trades", "fast"]
    threat: RecordedThreat
    best_epoch: int | None = Field(None, description="whose weights these are; null: the last epoch's")


class InitialWeights(Record):
    """The run whose weights a training began with."""

    run: str
    recipe: str | None = Field(None, description="of the run; null in records of earlier versions, as the next two")
    recipe_digest: str | None = Field(None, description="SHA-256 of its recipe with all that was chosen")
    seed: int | None = None
    weights_digest: str | None = Field(None, description="null in reports of earlier versions")


class TrainedOn(Record):
    """What a training ran on: speeds compare only on the like."""

    device: str | None
    threads: int | None
    processes: int
    precision: Precision
    compiled: bool


class TrainingSpeed(Record):
    """Images per second: the median over all epochs but the first, which warms up, with its 95 % interval."""

    median: float = Field(gt=0)
    low: float = Field(gt=0)
    high: float = Field(gt=0)
    on: TrainedOn


class TrainingRecord(Record):
    """What a run says of its training. Accuracies and rates by gate policy, "none" for a plain network."""

    data: str
    preset: str | None = None
    epochs: int
    adversarial: AdversarialRecord | None = Field(None, description="null: trained on images as they are")
    initial: InitialWeights | None = Field(None, description="null: random ones")
    seed: int
    validation_accuracy: dict[str, float]
    test_accuracy: dict[str, float]
    test_rates: dict[str, float] = Field(default_factory=dict, description="mean execution rate on test images")
    speed: TrainingSpeed | None = Field(None, description="null where too few epochs were timed")


MacsUnknown = Literal["differs", "uncounted", "unnamed"]
"""Why the compute of a network isn't known: images differ in it with all gates open; an operation of unknown cost; no
blocks are named for its decisions."""


class HubRecord(Record):
    """What a public hub says of a network: which images it takes."""

    hub: Hub = Field(description="timm, the Hugging Face hub, or torch.hub")
    mean: list[float] | None = Field(description="by which images in [0, 1] are normalised; null: none is known")
    std: list[float] | None
    image: list[int] | None = Field(description="channels, height and width of the images it was trained on")


class ForeignRecord(Record):
    """What the trial of a network that isn't ours showed, and how it is therefore called."""

    dtype: str = Field("float32", description="of the images it takes; its logits are judged in float32")
    in_place: bool = Field(False, description="it writes into the images that it is given, which are copies")
    paired: bool = Field(False, description="an image that comes alone goes in twice: it can't do with one")
    restless: bool = Field(
        False, description="it answers twice differently by dice of its own, beside any gates: it is judged by draws"
    )
    still: list[int] = Field(
        default_factory=list,
        description="decisions, from 1, that were read alike for all images of the trial, without a gradient by them",
    )
    unattackable: str | None = Field(None, description="why no gradient reaches the images; null where one does")
    hub: HubRecord | None = Field(None, description="where it comes from a public hub")


class StaticPattern(Record):
    """One path for all images, found on validation images."""

    opened: list[bool] = Field(description="by gate: whether its block runs")
    accuracy: float = Field(description="on the validation images that it was found on")
    n: int = Field(description="how many they were")
    macs: float = Field(description="multiply-accumulates of every image")
    most_macs: float = Field(description="that it was allowed: the mean of argmax gates on these images")
    tried: int = Field(description="patterns that were compared")
    every: bool = Field(description="whether these were all that are allowed, and not those on a way down")


class ModelRecord(Record):
    """A network under evaluation."""

    name: str = Field(description="of the run, and of the defence before it: what the report calls it")
    recipe: str
    twin: str | None = Field(None, description="the recipe that its own is compared with; null where none is named")
    family: Family
    parameters: int
    total_macs: int | None = Field(description="multiply-accumulates with every gate open; null where unknown")
    macs_unknown: MacsUnknown | None = Field(
        None,
        description="why total_macs is null: images differ in it with all gates open; an operation of unknown cost "
        "runs; no blocks are named for the decisions",
    )
    soft: bool = Field(
        True, description="whether decisions between 0 and 1 differ in effect from 0 and 1; else no gate can be soft"
    )
    gates: list[GateRecord] = Field(default_factory=list)
    rates: list[float] | None = Field(None, description="execution rates of the gates under the policy 'random'")
    patterns: dict[str, StaticPattern] = Field(
        default_factory=dict, description="of the policies 'majority' and 'static', where they were asked for"
    )
    defence: JpegDefence | None = Field(None, description="what stands before the network")
    foreign: ForeignRecord | None = Field(None, description="how a network that isn't ours was taken; else null")
    weights_digest: str
    training: TrainingRecord | None = Field(None, description="null where the network wasn't trained here")
    imported: str | None = Field(None, description="the command that imported it")
    budgets: list[RecordedThreat] | None = Field(
        None, description="between which it falls on validation images; null where that wasn't measured"
    )

    @property
    def seed(self) -> int | None:
        """Of its training; None where that isn't known."""
        return self.training.seed if self.training else None

    @property
    def adversarial(self) -> AdversarialRecord | None:
        """How it was trained on attacked images; None where it wasn't."""
        return self.training.adversarial if self.training else None

    @property
    def gateless(self) -> bool:
        """Whether there is no gate that a policy could decide for, as far as is known."""
        return self.family in {"plain", "dynamic"}

    @property
    def free_gates(self) -> list[int]:
        """Positions of the gates that may decide either way: those trained towards 1 are forced open."""
        return [place for place, gate in enumerate(self.gates) if gate.target != 1]

    @property
    def restless(self) -> bool:
        """Whether it throws dice of its own, beside any gates."""
        return self.foreign is not None and self.foreign.restless
