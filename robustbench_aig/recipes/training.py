"""The `[training]` section of a model's recipe, and what its presets may change."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from robustbench_aig.errors import ThreatError
from robustbench_aig.norms import DEFAULT, Norm
from robustbench_aig.policy_traits import STOCHASTIC
from robustbench_aig.recipes.section import Count, GatePolicy, Positive, Section, Share
from robustbench_aig.threat import Threat

Preset = Literal["paper", "long", "short"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
"""The published recipe, and modern fast ones: long for a GPU, short for minutes on a CPU."""


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


class Triangular(Section):
    """Learning rate over the training: linear from 0 up to `lr` at `peak`, then linear down to 0."""

    kind: Literal["triangular"] = "triangular"
    peak: Annotated[float, Field(gt=0, lt=1)] = Field(0.25, description="share of the training before the peak")


class Steps(Section):
    """Learning rate that is multiplied by `factor` when each epoch of `at` begins; epochs count from 1."""

    kind: Literal["steps"]
    at: list[Annotated[int, Field(ge=2)]]
    factor: Positive = 0.1


Schedule = Annotated[Triangular | Steps, Field(discriminator="kind")]


class RateLoss(Section):
    """Target-rate loss: weight · reduce over gates of (target - mean decision of the batch)²."""

    weight: Annotated[float, Field(ge=0)] = 2.0
    reduction: Literal["mean", "sum"] = Field(
        "mean", description="mean as in the official code, sum as printed in the paper"
    )
    temperature: Positive = Field(1.0, description="of the gates' softmax in the backward pass")


class MutualInformation(Section):
    """Of the image, or its class, and the gates' sampled decisions, in nats, estimated from a batch and maximised."""

    weight: Positive
    of: Literal["gates", "pairs", "class"] = Field(
        "gates",
        description="mean over gates of the information in one decision; or half of the information in two, mean over "
        "pairs of gates, more if gates do not all open for the same images; or the latter about the class",
    )


class BatchShaping(Section):
    """Draws each gate's open probabilities in a batch towards a Beta distribution (Bejnordi et al., arXiv 1907.06627).

    The loss is weight · mean over gates of the Cramér-von Mises distance of the two. The weight falls linearly to 0.
    """

    weight: Positive = Field(description="in the first step; the distance is a mean over the batch")
    a: Positive = Field(0.6, description="of Beta(a, b), whose mean is a / (a + b); below 1 it has a peak at closed")
    b: Positive = Field(0.4, description="below 1 it has a peak at open")
    until: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="share of the training after which it is 0")


class GateTraining(Section):
    """How gates learn to depend on the image, beside the rate loss, which one pattern for all images satisfies, too."""

    argmax_from: Share = Field(
        1.0,
        description="share of the training from which on gates take their more likely side instead of being sampled, "
        "with the gradient of the softmax; 0 from the first step, 1 never",
    )
    mutual_information: MutualInformation | None = None
    batch_shaping: BatchShaping | None = None


class Adversarial(Section):
    """Training on attacked images.

    `pgd` replaces each batch by its attacked one (Madry et al., arXiv 1706.06083); `fast` does so with a single step
    from a random start (Wong et al., arXiv 2001.03994); `trades` adds beta · KL(clean || attacked) to the loss of
    the clean batch, and attacks that divergence (Zhang et al., arXiv 1901.08573). During the inner attack batch-norm
    uses its running statistics, and the gates follow `gates`: the noise of `sampled` is that of the update that
    follows, so that the adversary attacks the very network that is about to learn.
    """

    method: Literal["pgd", "trades", "fast"]
    eps: str = Field("8/255", description="perturbation budget")
    norm: Norm = DEFAULT
    steps: Count = Field(10, description="of the inner attack; `fast` takes one")
    step: Positive = Field(0.25, description="size of a step as a share of eps; `fast` takes 1.25")
    gates: GatePolicy = Field(STOCHASTIC, description="policy of the gates in the inner attack")
    beta: Positive = Field(6.0, description="weight of the divergence, for `trades` alone")

    @model_validator(mode="before")
    @classmethod
    def _fast(cls, content: object) -> object:
        """The single step of `fast` is 1.25 eps unless said otherwise."""
        if isinstance(content, dict) and content.get("method") == "fast":
            return {"steps": 1, "step": 1.25, **content}
        return content

    @model_validator(mode="after")
    def _one_step(self) -> Adversarial:
        if self.method == "fast" and self.steps != 1:
            raise ValueError(f"fast training takes a single step, got {self.steps}: use pgd for more")
        return self

    @model_validator(mode="after")
    def _ball(self) -> Adversarial:
        try:
            _ = self.threat
        except ThreatError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def threat(self) -> Threat:
        """The ball that the inner attack searches."""
        return Threat.parse(self.eps, self.norm)


class Training(Section):
    """How a network is trained."""

    epochs: Count
    batch: Annotated[int, Field(ge=2)]
    optimizer: Optimizer
    schedule: Schedule = Triangular()
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augment: Augment = Augment()
    rate_loss: RateLoss | None = None
    gates: GateTraining | None = None
    adversarial: Adversarial | None = None

    @property
    def without_gates(self) -> Training:
        """The same for a network that has no gates."""
        return self.model_copy(update={"rate_loss": None, "gates": None})
