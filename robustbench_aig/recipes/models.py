"""The files of `models/`: networks and how they are trained."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from robustbench_aig.errors import RecipeError, did_you_mean
from robustbench_aig.recipes.figures import Figures, Published
from robustbench_aig.recipes.section import Count, Section, Share
from robustbench_aig.recipes.training import Preset, Training

Family = Literal["plain", "stochastic", "gated"]
"""Whether blocks always run, are dropped without looking at the image, or are chosen by gates that look at it."""


class ResNetRecipe(Section):
    """A plain CIFAR-style residual network (He et al., arXiv 1512.03385, section 4.2)."""

    family: ClassVar[Family] = "plain"

    algorithm: Literal["resnet"]
    depth: int = Field(description="6n + 2, at least 8")
    widths: Annotated[list[Count], Field(min_length=3, max_length=3)] = Field([16, 32, 64])

    @model_validator(mode="after")
    def _depth(self) -> ResNetRecipe:
        if self.depth < 8 or (self.depth - 2) % 6:
            raise ValueError(f"depth must be 6n + 2 and at least 8 (8, 14, 20, 26, …), got {self.depth}")
        return self

    @property
    def blocks(self) -> int:
        """Number of residual blocks."""
        return (self.depth - 2) // 2

    @property
    def targets(self) -> list[float]:
        """Execution rate that each gate is trained towards; empty without gates."""
        return []


class PreActResNetRecipe(ResNetRecipe):
    """The pre-activation residual network (He et al., arXiv 1603.05027)."""

    algorithm: Literal["preact-resnet"]  # type: ignore[assignment]


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
    """The gated twin of `ResNetRecipe` (Veit and Belongie, arXiv 1711.11503)."""

    family: ClassVar[Family] = "gated"

    algorithm: Literal["gated-resnet"]  # type: ignore[assignment]
    target: Share | list[Share] = Field(0.6, description="execution rate for all gates, or one for each")
    gate_hidden: Count = 16
    gate_norm: bool = Field(True, description="batch-norm in the gate, as in the official code and not in the paper")

    @model_validator(mode="after")
    def _targets(self) -> GatedResNetRecipe:
        if isinstance(self.target, list) and len(self.target) != self.blocks:
            raise ValueError(f"depth {self.depth} has {self.blocks} gates, got {len(self.target)} targets")
        return self

    @property
    def targets(self) -> list[float]:
        """One target rate per gate."""
        return self.target if isinstance(self.target, list) else [self.target] * self.blocks


Architecture = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)


class TorchvisionResNetRecipe(Section):
    """A residual network of torchvision, for ImageNet-sized images; for imported weights."""

    family: ClassVar[Family] = "plain"

    algorithm: Literal["torchvision-resnet"]
    architecture: Architecture

    @property
    def depth(self) -> int:
        """Number of layers with weights."""
        return int(self.architecture.removeprefix("resnet"))

    @property
    def targets(self) -> list[float]:
        """It has no gates."""
        return []


ModelSettings = ResNetRecipe | PreActResNetRecipe | StochasticDepthRecipe | GatedResNetRecipe | TorchvisionResNetRecipe


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
    def _rate_loss(self) -> ModelRecipe:
        for training in [self.training, *self.presets.values()]:
            if training and (self.model.family == "gated") != (training.rate_loss is not None):
                raise ValueError("training.rate_loss belongs to a gated model, and every gated model needs it")
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
