"""The sections of an attack's recipe that say what is raised, and how gradients get past the gates."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from robustbench_aig.recipes.section import Count, Positive, Section, Share

STRAIGHT_THROUGH: Final = "straight-through"
"""The gradient as the network was trained with it, which knows of no gates."""

Several = Annotated[int, Field(ge=2)]


class _Mode(Section):
    """Base of the ways past the gates."""

    @property
    def of_logits(self) -> bool:
        """Whether it changes something only where the gates' logits matter."""
        return False

    @property
    def soft(self) -> bool:
        """Whether it rests on decisions between 0 and 1."""
        return False


class _OfLogits(_Mode):
    @property
    def of_logits(self) -> bool:
        """It does."""
        return True


class DeployedMode(_Mode):
    """The deployed network: as it was trained (straight-through), gates as constants, or one noise for all steps."""

    mode: Literal["straight-through", "detached", "frozen-noise"] = STRAIGHT_THROUGH
    draws: Count = Field(1, description="passes per step where gates are random")


class OtherMode(_Mode):
    """The decisions of the clean image held, all gates open, or every block at its open probability."""

    mode: Literal["frozen", "open", "expected"]

    @property
    def of_logits(self) -> bool:
        """Open probabilities come from the logits."""
        return self.mode == "expected"

    @property
    def soft(self) -> bool:
        """Open probabilities are decisions between 0 and 1."""
        return self.mode == "expected"


class BpdaMode(_OfLogits):
    """Hard forward, backward sigmoid(D / temperature) (Athalye et al., arXiv 1802.00420)."""

    mode: Literal["bpda"] = "bpda"
    draws: Count = 1
    temperature: Positive = 1.0


class LeadedMode(_OfLogits):
    """The leaded gradient (Tao et al., arXiv 2210.08159)."""

    mode: Literal["leaded"] = "leaded"
    draws: Count = 1
    slope: Positive = Field(10.0, description="λ of sigmoid(λ · D)")
    hard: bool = Field(False, description="decisions forward stay hard")

    @property
    def soft(self) -> bool:
        """In the first form of the paper."""
        return not self.hard


class SmoothedMode(_OfLogits):
    """Gaussian noise on the gates' logits, averaged."""

    mode: Literal["smoothed"] = "smoothed"
    draws: Several = 10
    sigma: Positive = Field(1.0, description="standard deviation in units of the logit difference")


class ScoreFunctionMode(_OfLogits):
    """The unbiased gradient over sampled gates (REINFORCE with the other draws' mean as the baseline)."""

    mode: Literal["score-function"] = "score-function"
    draws: Several = 20


class ExactMode(_Mode):
    """Every pattern of the gates by its probability: the exact gradient of the random network, where gates are few."""

    mode: Literal["exact"] = "exact"


class EvolutionMode(_Mode):
    """Antithetic finite differences; no gradient is asked for."""

    mode: Literal["evolution"] = "evolution"
    draws: Count = Field(50, description="pairs of points per step")
    sigma: Positive = Field(1.0, description="standard deviation as a share of epsilon")


GateMode = Annotated[
    DeployedMode | OtherMode | BpdaMode | LeadedMode | SmoothedMode | ScoreFunctionMode | ExactMode | EvolutionMode,
    Field(discriminator="mode"),
]


class ClassObjective(Section):
    """Cross-entropy, the margin, the difference of logits ratio, or the same towards one class per restart."""

    name: Literal["cross-entropy", "margin", "dlr", "targeted-dlr"] = "cross-entropy"


class ZeroOneObjective(Section):
    """The share of wrong answers, smoothed: a logistic function of the margin."""

    name: Literal["zero-one"] = "zero-one"
    steepness: Positive = Field(3.0, description="of the logistic function, per unit of the logits' difference")


Safety = Annotated[
    Positive | None,
    Field(description="logit difference at which a gate that flipped counts no more; by default it always counts"),
]


class GateFlipObjective(Section):
    """How far gates move: the mean over gates of the change of their open probabilities."""

    name: Literal["gate-flip"] = "gate-flip"
    safety: Safety = None


class JointObjective(Section):
    """Cross-entropy and how far gates move together."""

    name: Literal["joint"] = "joint"
    weight: Positive = Field(1.0, description="of the gates")
    warm: Share = Field(0.0, description="share of the steps at the beginning that flip gates alone")
    safety: Safety = None


class OtherPathObjective(Section):
    """Cross-entropy, and the open probabilities of another class."""

    name: Literal["other-path"] = "other-path"
    weight: Positive = 1.0


OBJECTIVES_OF_GATES = {"gate-flip", "joint", "other-path"}
"""Names of those that are about gates."""

Objective = Annotated[
    ClassObjective | ZeroOneObjective | GateFlipObjective | JointObjective | OtherPathObjective,
    Field(discriminator="name"),
]
