"""The files of `attacks/`: algorithms with their settings, and suites that list them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from robustbench_aig.recipes.section import Count, Positive, Section

Provider = Literal["aigrob", "torchattacks", "foolbox"]


class FgsmRecipe(Section):
    """One step of full size (Goodfellow et al., arXiv 1412.6572)."""

    algorithm: Literal["fgsm"]
    provider: Provider = "aigrob"


class PgdRecipe(Section):
    """Projected gradient descent (Madry et al., arXiv 1706.06083)."""

    algorithm: Literal["pgd"]
    provider: Provider = "aigrob"
    steps: Count = 20
    step: Positive = Field(0.125, description="step size as a share of epsilon")
    random_start: bool = True


class CornersRecipe(Section):
    """A random change of full size, the control: every pixel ±epsilon."""

    algorithm: Literal["corners"]
    provider: Literal["aigrob"] = "aigrob"


AttackSettings = Annotated[FgsmRecipe | PgdRecipe | CornersRecipe, Field(discriminator="algorithm")]


class AttackRecipe(Section):
    """One file of `attacks/` that configures an algorithm."""

    summary: str
    reference: str
    attack: AttackSettings

    @property
    def control(self) -> bool:
        """Whether it is noise that other attacks are compared with, and no part of a union."""
        return self.attack.algorithm == "corners"


class SuiteRecipe(Section):
    """One file of `attacks/` that lists attacks."""

    summary: str
    suite: Annotated[list[str], Field(min_length=1)]
