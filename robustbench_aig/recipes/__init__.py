"""Recipes: what is run, with which numbers, after which paper. TOML in, validated objects out. No torch."""

from robustbench_aig.recipes.attacks import (
    AttackRecipe,
    CornersRecipe,
    FgsmRecipe,
    PgdRecipe,
    SuiteRecipe,
)
from robustbench_aig.recipes.figures import Figures, Published
from robustbench_aig.recipes.merging import inherit
from robustbench_aig.recipes.models import (
    ARCHITECTURES,
    Family,
    GatedResNetRecipe,
    ModelRecipe,
    ModelSettings,
    PreActResNetRecipe,
    ResNetRecipe,
    StochasticDepthRecipe,
    TorchvisionResNetRecipe,
)
from robustbench_aig.recipes.reading import read_toml, validate
from robustbench_aig.recipes.training import (
    PRESETS,
    Adversarial,
    Augment,
    Optimizer,
    Preset,
    RateLoss,
    Schedule,
    Steps,
    Training,
    Triangular,
)

__all__ = [
    "ARCHITECTURES",
    "PRESETS",
    "Adversarial",
    "AttackRecipe",
    "Augment",
    "CornersRecipe",
    "Family",
    "FgsmRecipe",
    "Figures",
    "GatedResNetRecipe",
    "ModelRecipe",
    "ModelSettings",
    "Optimizer",
    "PgdRecipe",
    "PreActResNetRecipe",
    "Preset",
    "Published",
    "RateLoss",
    "ResNetRecipe",
    "Schedule",
    "Steps",
    "StochasticDepthRecipe",
    "SuiteRecipe",
    "TorchvisionResNetRecipe",
    "Training",
    "Triangular",
    "inherit",
    "read_toml",
    "validate",
]
