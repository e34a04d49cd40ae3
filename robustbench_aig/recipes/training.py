"""The `[training]` section of a model's recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from robustbench_aig.recipes.section import Count, Positive, Section, Share


class Augment(Section):
    """Random crop and flip of training images."""

    crop: Share = Field(0.0, description="largest shift as a share of the image side: 0.125 is 4 pixels of 32")
    flip: bool = Field(False, description="mirror half of the images")


class Optimizer(Section):
    """Stochastic gradient descent with momentum; weight decay acts on everything, as in the official code."""

    lr: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4


class Schedule(Section):
    """Learning rate over the training: linear from 0 up to `lr` at `peak`, then linear down to 0."""

    kind: Literal["triangular"] = "triangular"
    peak: Annotated[float, Field(gt=0, lt=1)] = Field(0.25, description="share of the training before the peak")


class RateLoss(Section):
    """Target-rate loss: weight · reduce over gates of (target - mean decision of the batch)²."""

    weight: Annotated[float, Field(ge=0)] = 2.0
    reduction: Literal["mean", "sum"] = Field(
        "mean", description="mean as in the official code, sum as printed in the paper"
    )
    temperature: Positive = Field(1.0, description="of the gates' softmax in the backward pass")


class Training(Section):
    """How a network is trained."""

    epochs: Count
    batch: Annotated[int, Field(ge=2)]
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augment: Augment = Augment()
    rate_loss: RateLoss | None = None
