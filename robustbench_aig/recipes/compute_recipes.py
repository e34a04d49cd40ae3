"""Settings of the attacks on the executed compute, and of the controls that no gradient guides."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from robustbench_aig.recipes.gradients import DeployedMode, GateMode
from robustbench_aig.recipes.section import Count, Positive, Section, Share

Direction = Literal["up", "down"]
"""More blocks executed than for the clean image, or fewer."""


class GatesObjective(Section):
    """Expected multiply-accumulates, or the published losses that count gates: ILFO's hinge, GradAuto's projection."""

    name: Literal["expected", "ilfo", "gradauto"] = "expected"


class PowerObjective(Section):
    """The power loss of GradMDM: gates near their threshold first."""

    name: Literal["gradmdm"] = "gradmdm"
    norm: Positive = 3.5
    warm: Share = Field(0.1, description="share of the steps at the beginning that take the 1-norm")


ComputeObjective = Annotated[GatesObjective | PowerObjective, Field(discriminator="name")]


class ComputeRecipe(Section):
    """Projected steps on the gates; the iterate that executes most, or least, is returned."""

    algorithm: Literal["compute"] = "compute"
    provider: Literal["aigrob"] = "aigrob"
    direction: Direction = "up"
    gates: GateMode = Field(DeployedMode(), description="how the gradient treats the gates")
    objective: ComputeObjective = Field(GatesObjective(), description="what is raised")
    steps: Count = 20
    step: Positive = Field(0.125, description="step size as a share of epsilon")
    restarts: Count = Field(1, description="the first starts at the image, others at random points of the ball")
    keep_prediction: bool = Field(False, description="an image counts only if its predicted class does not change")
    anchor: float = Field(0.0, ge=0, description="weight of the squared change of the logits, with keep_prediction")

    @model_validator(mode="after")
    def _anchor_keeps_something(self) -> Self:
        if self.anchor and not self.keep_prediction:
            raise ValueError("anchor needs keep_prediction = true")
        return self


class NoiseRecipe(Section):
    """A control that asks nothing of the network: a random point of the ball, or a flat or a random image nearby."""

    algorithm: Literal["uniform-noise", "grey-image", "noise-image"]
    provider: Literal["aigrob"] = "aigrob"
