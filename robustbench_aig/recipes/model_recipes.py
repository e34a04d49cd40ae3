"""The files of `models/`: networks and how they are trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from robustbench_aig.errors import RecipeError, did_you_mean
from robustbench_aig.recipes.figures import Figures, Published
from robustbench_aig.recipes.section import Count, Section, Share
from robustbench_aig.recipes.training import Preset, Training

Family = Literal["plain", "stochastic", "gated", "dynamic"]
"""Whether blocks always run, are dropped without looking at the image, or are chosen by gates that look at it.

A network that isn't ours is "dynamic" where no gate of it is known and nobody knows that it computes the same for every
image.
"""


Stem = Literal["cifar", "imagenet"]
"""How a network begins: with a 3×3 convolution, or with a 7×7 one and a max-pool, each with stride 2."""


class Place(NamedTuple):
    """Where a residual block is, and its gate where it has one; both are counted from 1."""

    stage: int
    block: int

    def __str__(self) -> str:
        return f"{self.stage}.{self.block}"


def blocks_per_stage(depth: int, widths: Sequence[int], stages: Sequence[int] | None, *, bottleneck: bool) -> list[int]:
    """Number of blocks of each stage of a residual network.

    Args:
        depth: layers with weights; the first and the last are in no block, those of shortcuts don't count.
        widths: one per stage.
        stages: number of blocks of each; None for three equal ones.
        bottleneck: whether a block has three of the layers, or two.

    Raises:
        ValueError: they contradict each other.
    """
    layers = 3 if bottleneck else 2
    if stages is None:
        per_stage, rest = divmod(depth - 2, 3 * layers)
        if depth < 3 * layers + 2 or rest:
            such = ", ".join(str(3 * layers * n + 2) for n in (1, 2, 3, 4))
            raise ValueError(
                f"depth must be {3 * layers}n + 2 and at least {3 * layers + 2} ({such}, …), got {depth}; "
                "other networks need stages"
            )
        stages = [per_stage] * 3
    if len(stages) != len(widths):
        raise ValueError(f"widths has {len(widths)} numbers for {len(stages)} stages")
    if depth != layers * sum(stages) + 2:
        raise ValueError(f"stages {list(stages)} make depth {layers * sum(stages) + 2}, not {depth}")
    return list(stages)


class ResNetRecipe(Section):
    """A plain residual network (He et al., arXiv 1512.03385); with the defaults that for CIFAR of section 4.2."""

    family: ClassVar[Family] = "plain"

    algorithm: Literal["resnet"]
    depth: int = Field(description="layers with weights: 6n + 2 where the stages are equal ones of basic blocks")
    widths: Annotated[list[Count], Field(min_length=1)] = Field(
        [16, 32, 64], description="channels of the 3×3 convolutions of each stage"
    )
    stages: Annotated[list[Count], Field(min_length=1)] | None = Field(
        None, description="blocks of each stage; three equal ones where it isn't given"
    )
    bottleneck: bool = Field(False, description="blocks of 1×1, 3×3 and 1×1 convolutions, four times as wide outside")
    stem: Stem = Field("cifar", description="a 3×3 convolution; imagenet: 7×7 and a max-pool, each with stride 2")
    stem_width: Count | None = Field(None, description="channels of the stem; those of the first stage if not given")

    @model_validator(mode="after")
    def _stages(self) -> Self:
        _ = self.places
        return self

    @property
    def places(self) -> list[Place]:
        """Of the residual blocks, in the order of the layers."""
        counts = blocks_per_stage(self.depth, self.widths, self.stages, bottleneck=self.bottleneck)
        return [Place(stage, block) for stage, count in enumerate(counts, 1) for block in range(1, count + 1)]

    @property
    def blocks(self) -> int:
        """Number of residual blocks."""
        return len(self.places)

    @property
    def layout(self) -> dict[str, Any]:
        """All that two networks share which differ in their blocks' kind and gates."""
        return self.model_dump(include=set(ResNetRecipe.model_fields) - {"algorithm"})

    @property
    def targets(self) -> list[float]:
        """Execution rate that each gate is trained towards; empty without gates."""
        return []


class PreActResNetRecipe(ResNetRecipe):
    """The pre-activation residual network (He et al., arXiv 1603.05027)."""

    algorithm: Literal["preact-resnet"]  # type: ignore[assignment]

    @model_validator(mode="after")
    def _basic(self) -> Self:
        if self.stages is not None or self.bottleneck or self.stem != "cifar":
            raise ValueError("a pre-activation network is CIFAR's: leave out stages, bottleneck and stem")
        return self

    @property
    def layout(self) -> dict[str, Any]:
        """Depth and widths."""
        return self.model_dump(include={"depth", "widths", "stem_width"})


class WideResNetRecipe(Section):
    """The wide residual network WRN-depth-factor, of pre-activation blocks (Zagoruyko and Komodakis, arXiv 1605.07146).

    Without dropout.
    """

    family: ClassVar[Family] = "plain"

    algorithm: Literal["wide-resnet"]
    depth: int = Field(description="6n + 4, the three shortcuts with weights included")
    factor: Count = Field(description="how many times as wide as CIFAR's residual network")

    @model_validator(mode="after")
    def _depth(self) -> Self:
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"depth must be 6n + 4 and at least 10 (10, 16, 22, 28, …), got {self.depth}")
        return self

    @property
    def widths(self) -> list[int]:
        """Channels of the three stages."""
        return [16 * self.factor, 32 * self.factor, 64 * self.factor]

    @property
    def layout(self) -> dict[str, Any]:
        """That of a pre-activation network, whose depth is counted without shortcuts."""
        return {"depth": self.depth - 2, "widths": self.widths, "stem_width": 16}

    @property
    def targets(self) -> list[float]:
        """It has no gates."""
        return []


class StochasticDepthRecipe(ResNetRecipe):
    """A residual network whose blocks are dropped at random in training (Huang et al., arXiv 1603.09382)."""

    family: ClassVar[Family] = "stochastic"

    algorithm: Literal["stochastic-depth-resnet"]  # type: ignore[assignment]
    survival: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="probability that the last block runs; it falls linearly from 1 at the input"
    )

    @property
    def targets(self) -> list[float]:
        """Survival probability of each block: 1 - l / L · (1 - p_L), l = 1 … L (section 3, equation 4)."""
        return [1 - (block + 1) / self.blocks * (1 - self.survival) for block in range(self.blocks)]


class GatedResNetRecipe(ResNetRecipe):
    """The gated twin of `ResNetRecipe`: ConvNet-AIG (Veit and Belongie, arXiv 1711.11503)."""

    family: ClassVar[Family] = "gated"

    algorithm: Literal["gated-resnet"]  # type: ignore[assignment]
    target: Share | list[Share] = Field(0.6, description="execution rate for all gates, or one for each")
    gate_hidden: Count = 16
    gate_norm: bool = Field(True, description="batch-norm in the gate, as in the official code and not in the paper")

    @model_validator(mode="after")
    def _targets(self) -> Self:
        if isinstance(self.target, list) and len(self.target) != self.blocks:
            raise ValueError(f"depth {self.depth} has {self.blocks} gates, got {len(self.target)} targets")
        return self

    @property
    def targets(self) -> list[float]:
        """One target rate per gate."""
        return self.target if isinstance(self.target, list) else [self.target] * self.blocks


class SoftGatesRecipe(ResNetRecipe):
    """Base of networks whose gates scale what blocks add: the blocks always run, and no policy is asked."""

    @property
    def targets(self) -> list[float]:
        """1 for each gate."""
        return [1.0] * self.blocks


class SEResNetRecipe(SoftGatesRecipe):
    """Squeeze-and-excitation: a factor for each channel that a block adds (Hu et al., arXiv 1709.01507)."""

    algorithm: Literal["se-resnet"]  # type: ignore[assignment]
    reduction: Count = Field(16, description="channels per unit of the gates' hidden layers")


class HighwayResNetRecipe(SoftGatesRecipe):
    """Highway gates (Srivastava et al., arXiv 1505.00387) on residual blocks (He et al., arXiv 1603.05027, 3.1)."""

    algorithm: Literal["highway-resnet"]  # type: ignore[assignment]
    gate_bias: float = Field(description="of the gates at the beginning, negative: blocks then come in gradually")


Architecture = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
_DEPTHS: dict[Architecture, int] = {
    "resnet18": 18,
    "resnet34": 34,
    "resnet50": 50,
    "resnet101": 101,
    "resnet152": 152,
}


class TorchvisionResNetRecipe(Section):
    """A residual network of torchvision, for ImageNet-sized images; for imported weights."""

    family: ClassVar[Family] = "plain"

    algorithm: Literal["torchvision-resnet"]
    architecture: Architecture

    @property
    def depth(self) -> int:
        """Number of layers with weights."""
        return _DEPTHS[self.architecture]

    @property
    def targets(self) -> list[float]:
        """It has no gates."""
        return []


ModelSettings = (
    ResNetRecipe
    | PreActResNetRecipe
    | WideResNetRecipe
    | StochasticDepthRecipe
    | GatedResNetRecipe
    | SEResNetRecipe
    | HighwayResNetRecipe
    | TorchvisionResNetRecipe
)


def gate_places(model: ModelSettings) -> list[Place]:
    """Where the gates of a network are, in their order: in every residual block, or nowhere."""
    return model.places if isinstance(model, ResNetRecipe) and model.targets else []


class ModelRecipe(Section):
    """One file of `models/`."""

    base: str | None = Field(None, description="the recipe whose sections this one changes")
    summary: str
    reference: str
    twin: str | None = Field(None, description="the recipe it is compared with")
    default: list[Literal["cpu", "cuda"]] = Field(
        [], description="devices on which it is trained with its twin when no model is named"
    )
    model: Annotated[ModelSettings, Field(discriminator="algorithm")]
    training: Training | None = Field(None, description="what is trained by; none where presets wait to be chosen")
    presets: dict[Preset, Training] = Field({}, description="each one is what `training` says, with its changes")
    preset: Preset | None = Field(None, description="which of the presets `training` is")
    figures: Figures | None = None
    published: Published | None = None

    @model_validator(mode="after")
    def _gates(self) -> ModelRecipe:
        for training in [self.training, *self.presets.values()]:
            if training and (self.model.family == "gated") != (training.rate_loss is not None):
                raise ValueError("training.rate_loss belongs to a gated model, and every gated model needs it")
            if training and training.gates and self.model.family != "gated":
                raise ValueError("training.gates belongs to a gated model: no other has gates that decide")
        return self

    def chosen(self, preset: Preset) -> ModelRecipe:
        """The recipe with one of its presets as `training`; as it is where it has no presets.

        Raises:
            RecipeError: it has presets, but not this one.
        """
        if not self.presets:
            return self
        if preset not in self.presets:
            raise RecipeError(f"no preset '{preset}' in this recipe: {did_you_mean(preset, self.presets)}")
        return self.model_copy(update={"training": self.presets[preset], "presets": {}, "preset": preset})
