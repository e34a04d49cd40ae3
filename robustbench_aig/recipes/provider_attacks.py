"""Settings of the attacks that other providers compute; the defaults are the published budgets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from robustbench_aig.recipes.section import Count, Positive, Section, Share

Loss = Literal["ce", "dlr"]
Version = Literal["standard", "rand"]
Draws = Annotated[int, Field(ge=1, description="passes whose gradients are averaged at every step")]
Targets = Annotated[int, Field(ge=1, description="likeliest wrong classes that are aimed at, one after the other")]
Aims = Annotated[int, Field(ge=0, description="the same; 0 for the nearest class of all at every step")]


class _Torchattacks(Section):
    provider: Literal["torchattacks"] = "torchattacks"


class _Foolbox(Section):
    provider: Literal["foolbox"] = "foolbox"


class _Pyautoattack(Section):
    provider: Literal["pyautoattack"] = "pyautoattack"


class _AdvLib(Section):
    provider: Literal["adv-lib"] = "adv-lib"


class TorchattacksApgdRecipe(_Torchattacks):
    """Auto-PGD: a step size of its own (Croce and Hein, arXiv 2003.01690, algorithm 1)."""

    algorithm: Literal["torchattacks-apgd"] = "torchattacks-apgd"
    loss: Loss = "ce"
    steps: Count = 100
    restarts: Count = 1
    draws: Draws = 1


class TorchattacksApgdTargetedRecipe(_Torchattacks):
    """Auto-PGD on the targeted DLR loss (arXiv 2003.01690, eq. 7)."""

    algorithm: Literal["torchattacks-apgd-t"] = "torchattacks-apgd-t"
    steps: Count = 100
    restarts: Count = 1
    targets: Targets = 9


class TorchattacksFabRecipe(_Torchattacks):
    """Fast adaptive boundary attack (Croce and Hein, arXiv 1907.02044)."""

    algorithm: Literal["torchattacks-fab"] = "torchattacks-fab"
    steps: Count = 100
    restarts: Count = 1
    targets: Aims = 0


class TorchattacksSquareRecipe(_Torchattacks):
    """Square attack: random search without gradients (Andriushchenko et al., arXiv 1912.00049)."""

    algorithm: Literal["torchattacks-square"] = "torchattacks-square"
    queries: Count = 5000
    restarts: Count = 1


class TorchattacksAutoAttackRecipe(_Torchattacks):
    """AutoAttack (arXiv 2003.01690)."""

    algorithm: Literal["torchattacks-autoattack"] = "torchattacks-autoattack"
    version: Version = "standard"
    steps: Count = 100
    queries: Count = 5000


class TorchattacksCwRecipe(_Torchattacks):
    """Carlini and Wagner's attack at one fixed constant (arXiv 1608.04644, section VI-A)."""

    algorithm: Literal["torchattacks-cw"] = "torchattacks-cw"
    constant: Positive = 1.0
    confidence: Annotated[float, Field(ge=0)] = 0.0
    steps: Count = 50
    learning_rate: Positive = 0.01


class FoolboxFmnRecipe(_Foolbox):
    """Fast minimum-norm attack (Pintor et al., arXiv 2102.12827)."""

    algorithm: Literal["foolbox-fmn"] = "foolbox-fmn"
    steps: Count = 100
    step: Positive = Field(1.0, description="length of the first step, in units of the pixel range")
    gamma: Share = 0.05


class FoolboxCwRecipe(_Foolbox):
    """Carlini and Wagner's attack with its search for the constant (arXiv 1608.04644, section VI-A)."""

    algorithm: Literal["foolbox-cw"] = "foolbox-cw"
    searches: Count = Field(9, description="values of the constant that are tried")
    steps: Count = 10000
    learning_rate: Positive = 0.01
    constant: Positive = Field(0.001, description="the first one")


class FoolboxDdnRecipe(_Foolbox):
    """Decoupled direction and norm (Rony et al., arXiv 1811.09600)."""

    algorithm: Literal["foolbox-ddn"] = "foolbox-ddn"
    steps: Count = 100
    start: Positive = Field(1.0, description="the first length of the change")
    gamma: Share = 0.05


class FoolboxHopSkipJumpRecipe(_Foolbox):
    """HopSkipJump: sees decisions alone (Chen et al., arXiv 1904.02144)."""

    algorithm: Literal["foolbox-hopskipjump"] = "foolbox-hopskipjump"
    steps: Count = 64
    first: Count = Field(100, description="decisions asked for the first estimate of a gradient; grows with √step")
    most: Count = Field(10000, description="decisions asked for any estimate at most")


class PyautoattackRecipe(_Pyautoattack):
    """AutoAttack by its authors' own code (arXiv 2003.01690)."""

    algorithm: Literal["pyautoattack"] = "pyautoattack"
    version: Version = "standard"
    queries: Count = 5000


class AdvLibApgdRecipe(_AdvLib):
    """Auto-PGD (arXiv 2003.01690, algorithm 1)."""

    algorithm: Literal["adv-lib-apgd"] = "adv-lib-apgd"
    loss: Loss = "ce"
    steps: Count = 100
    restarts: Count = 1
    draws: Draws = 1


class AdvLibApgdTargetedRecipe(_AdvLib):
    """Auto-PGD towards wrong classes (arXiv 2003.01690, section 5)."""

    algorithm: Literal["adv-lib-apgd-t"] = "adv-lib-apgd-t"
    loss: Loss = "dlr"
    steps: Count = 100
    restarts: Count = 1
    draws: Draws = 1
    targets: Targets = 9


class AdvLibFabRecipe(_AdvLib):
    """Fast adaptive boundary attack (arXiv 1907.02044)."""

    algorithm: Literal["adv-lib-fab"] = "adv-lib-fab"
    steps: Count = 100
    restarts: Count = 1
    targets: Aims = 0


class AdvLibFmnRecipe(_AdvLib):
    """Fast minimum-norm attack (arXiv 2102.12827)."""

    algorithm: Literal["adv-lib-fmn"] = "adv-lib-fmn"
    steps: Count = 100
    step: Positive = Field(1.0, description="length of the first step, in units of the pixel range")
    gamma: Share = 0.05


class AdvLibDdnRecipe(_AdvLib):
    """Decoupled direction and norm (arXiv 1811.09600)."""

    algorithm: Literal["adv-lib-ddn"] = "adv-lib-ddn"
    steps: Count = 100
    start: Positive = Field(1.0, description="the first length of the change")
    gamma: Share = 0.05


ProviderSettings = (
    TorchattacksApgdRecipe
    | TorchattacksApgdTargetedRecipe
    | TorchattacksFabRecipe
    | TorchattacksSquareRecipe
    | TorchattacksAutoAttackRecipe
    | TorchattacksCwRecipe
    | FoolboxFmnRecipe
    | FoolboxCwRecipe
    | FoolboxDdnRecipe
    | FoolboxHopSkipJumpRecipe
    | PyautoattackRecipe
    | AdvLibApgdRecipe
    | AdvLibApgdTargetedRecipe
    | AdvLibFabRecipe
    | AdvLibFmnRecipe
    | AdvLibDdnRecipe
)
