"""The files of `attacks/`: algorithms with their settings, and suites that list them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from robustbench_aig.recipes.compute_recipes import ComputeRecipe, NoiseRecipe
from robustbench_aig.recipes.gradients import ClassObjective, DeployedMode, GateMode, Objective
from robustbench_aig.recipes.provider_attacks import ProviderSettings
from robustbench_aig.recipes.section import Count, Positive, Section

Provider = Literal["aigrob", "torchattacks", "foolbox"]
Keep = Literal["last", "best", "first"]


class GradientRecipe(Section):
    """What all gradient attacks of our own share."""

    gates: GateMode = Field(DeployedMode(), description="how the gradient treats the gates")
    objective: Objective = Field(ClassObjective(), description="what is raised")


class SharedRecipe(GradientRecipe):
    """One that providers compute, too, but for what only ours know."""

    provider: Provider = "aigrob"

    @model_validator(mode="after")
    def _providers_know_no_gates(self) -> Self:
        ours = {"gates", "objective", "restarts", "keep"} & self.model_fields_set
        if self.provider != "aigrob" and ours:
            raise ValueError(f"{', '.join(sorted(ours))}: only provider 'aigrob' knows this, not '{self.provider}'")
        return self


class FgsmRecipe(SharedRecipe):
    """One step of full size (Goodfellow et al., arXiv 1412.6572)."""

    algorithm: Literal["fgsm"] = "fgsm"


class PgdRecipe(SharedRecipe):
    """Projected gradient descent (Madry et al., arXiv 1706.06083)."""

    algorithm: Literal["pgd"] = "pgd"
    steps: Count = 20
    step: Positive = Field(0.125, description="step size as a share of epsilon")
    random_start: bool = True
    restarts: Count = 1
    keep: Keep = Field(
        "last", description="which iterate is returned: the last, the best, or the first that is misclassified"
    )


class ApgdRecipe(GradientRecipe):
    """AutoPGD, which chooses its step sizes itself (Croce and Hein, arXiv 2003.01690)."""

    algorithm: Literal["apgd"] = "apgd"
    provider: Literal["aigrob"] = "aigrob"
    steps: Count = 100
    restarts: Count = 1
    keep: Keep = "first"
    exact: bool = Field(
        False,
        description="in float32, even where others use bfloat16, which does not resolve margins below about 0.01",
    )


class CornersRecipe(Section):
    """A random change of full size, the control: every pixel ±epsilon."""

    algorithm: Literal["corners"] = "corners"
    provider: Literal["aigrob"] = "aigrob"


class PermutedRecipe(Section):
    """The changes that an attack finds, each given to another image of the chunk: a control."""

    algorithm: Literal["permuted"] = "permuted"
    provider: Literal["aigrob"] = "aigrob"
    of: Annotated[FgsmRecipe | PgdRecipe | ApgdRecipe | ComputeRecipe, Field(discriminator="algorithm")]

    @model_validator(mode="after")
    def _ours(self) -> Self:
        if self.of.provider != "aigrob":
            raise ValueError(f"only the changes of provider 'aigrob' are permuted, not of '{self.of.provider}'")
        return self


class TransferRecipe(Section):
    """An attack on another network, whose images this one gets."""

    algorithm: Literal["transfer"] = "transfer"
    provider: Literal["aigrob"] = "aigrob"
    source: str | None = Field(None, description="name of the other network; without it every other one in turn")
    of: Annotated[FgsmRecipe | PgdRecipe | ApgdRecipe, Field(discriminator="algorithm")]

    @model_validator(mode="after")
    def _ours(self) -> Self:
        if self.of.provider != "aigrob":
            raise ValueError(f"only attacks of provider 'aigrob' are transferred, not of '{self.of.provider}'")
        return self


AttackSettings = Annotated[
    FgsmRecipe
    | PgdRecipe
    | ApgdRecipe
    | CornersRecipe
    | NoiseRecipe
    | PermutedRecipe
    | ComputeRecipe
    | TransferRecipe
    | ProviderSettings,
    Field(discriminator="algorithm"),
]


class AttackRecipe(Section):
    """One file of `attacks/` that configures an algorithm."""

    summary: str
    reference: str
    attack: AttackSettings

    @property
    def role(self) -> Literal["attack", "control", "compute"]:
        """What it is measured for: alone an attack on the accuracy is part of a union."""
        match self.attack:
            case ComputeRecipe():
                return "compute"
            case CornersRecipe() | NoiseRecipe() | PermutedRecipe():
                return "control"
            case _:
                return "attack"


NamedAttack = tuple[str, AttackRecipe]
"""A recipe by the name that reports call it, which is that of its file with what was changed."""


class SuiteRecipe(Section):
    """One file of `attacks/` that lists attacks."""

    summary: str
    suite: Annotated[list[str], Field(min_length=1, description="attacks, with changes or without, and other suites")]
    cascade: bool = Field(
        False,
        description="attack only images that no earlier attack has broken: only the worst case over attacks counts",
    )
