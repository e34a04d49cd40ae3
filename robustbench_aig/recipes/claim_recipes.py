"""The files of `claims/`: sentences with what decides on them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from robustbench_aig.defence_names import Kind
from robustbench_aig.policy_traits import DETERMINISTIC, STOCHASTIC
from robustbench_aig.recipes.section import Count, GatePolicy, Positive, Section, Share


class _Claim(Section):
    """Base of all kinds."""

    @property
    def of_every_attack(self) -> bool:
        """Whether it says what no attack does, so that attacks can refute it and never support it."""
        return False


class UnderPolicies(_Claim):
    """A claim that is judged under each policy of the gates by itself."""

    policies: list[GatePolicy] = Field([STOCHASTIC, DETERMINISTIC])


class Strengths(UnderPolicies):
    """The balls in which a claim is judged: where undefended and hardened networks can be told apart."""

    undefended: list[str] = Field(["0.5/255", "1/255", "2/255"])
    hardened: list[str] = Field(["4/255", "8/255"], description="for adversarially trained networks")


class RobustnessClaim(Strengths):
    """The gated network has higher robust accuracy than the plain one at every strength."""

    about: Literal["robustness"]
    attack: str = Field("union", description="attack; union is the worst case over all attacks on the accuracy")
    every_strength: bool = Field(False, description="at every budget that was measured, instead of those listed")
    defence: Kind | None = Field(None, description="in front of both networks")
    margin: Share = Field(0.0, description="smallest difference that counts")

    @property
    def of_every_attack(self) -> bool:
        """Under the union, which stands for the worst that any attack does; not under one attack alone."""
        return self.attack == "union"


class AccuracyClaim(UnderPolicies):
    """The gated network classifies no fewer clean images right."""

    about: Literal["accuracy"]
    tolerance: Share = Field(0.01, description="a difference up to this size counts as none")


class MovementClaim(Strengths):
    """No attack makes gates change their decisions more than another image's change of the same size does."""

    about: Literal["movement"]
    most: Share = Field(description="share of an image's gates that may flip beyond that")
    most_of_any: Share = Field(0.1, description="share of images on which any one gate may flip beyond that")

    @property
    def of_every_attack(self) -> bool:
        """It does."""
        return True


class ChoiceClaim(UnderPolicies):
    """Choosing blocks by the image gives more accuracy than one path for all images, and than a shallower network."""

    about: Literal["choice"]
    policies: list[GatePolicy] = Field([DETERMINISTIC])


class TransitionClaim(UnderPolicies):
    """The blocks that change the resolution are open."""

    about: Literal["transitions"]
    least: Share = Field(description="execution rate of the one that is open least")


class SpecificityClaim(UnderPolicies):
    """Gates of the last stage treat classes differently."""

    about: Literal["specificity"]
    least: Share = Field(description="standard deviation of a gate's execution rate between classes, stage's mean")
    groups: Count = Field(20, description="of images, for the jackknife")


class OverheadClaim(_Claim):
    """Gates add little to a network whose blocks all run."""

    about: Literal["overhead"]
    macs: Positive = Field(description="largest added share of multiply-accumulates")
    parameters: Positive = Field(description="largest added share of parameters")


class PaceClaim(UnderPolicies):
    """The gated network, which skips blocks, takes less time for an image than the plain one."""

    about: Literal["pace"]
    most: Positive = Field(1.0, description="its time relative to the plain network's")


class TrainingSpeedClaim(_Claim):
    """The gated network learns from about as many images per second as the plain one."""

    about: Literal["training speed"]
    least: Positive = Field(description="its images per second relative to the plain network's")


Claim = Annotated[
    RobustnessClaim
    | AccuracyClaim
    | MovementClaim
    | ChoiceClaim
    | TransitionClaim
    | SpecificityClaim
    | OverheadClaim
    | PaceClaim
    | TrainingSpeedClaim,
    Field(discriminator="about"),
]


Certainty = Literal["read", "read off a figure", "second-hand", "ours"]
"""How sure it is that a sentence is the paper's.

It was read in the paper or its official code; read off one of its figures; told by somebody who had read it; or no
source was found that says so, and the sentence is ours.
"""


class ClaimSource(Section):
    """Where the paper says a sentence, and how sure that is."""

    certainty: Certainty = "ours"
    place: str | None = Field(None, description="in the paper; for a claim of ours the nearest statement")


class ClaimRecipe(Section):
    """A sentence that evidence decides on."""

    sentence: str
    reference: str | None = Field(None, description="who says so, and where")
    source: ClaimSource = ClaimSource()
    claim: Claim
