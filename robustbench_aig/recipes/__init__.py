"""Recipes: what is run, with which numbers, after which paper. TOML in, validated objects out. No torch."""

from robustbench_aig.recipes.attacks import (
    AttackRecipe,
    CornersRecipe,
    FgsmRecipe,
    PgdRecipe,
    SuiteRecipe,
)
from robustbench_aig.recipes.figures import Figures, Published
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
from robustbench_aig.recipes.reading import merged, read_toml, validate
from robustbench_aig.recipes.training import Augment, Optimizer, RateLoss, Schedule, Training

__all__ = [
    "ARCHITECTURES",
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
    "Published",
    "RateLoss",
    "ResNetRecipe",
    "Schedule",
    "StochasticDepthRecipe",
    "SuiteRecipe",
    "TorchvisionResNetRecipe",
    "Training",
    "merged",
    "read_toml",
    "validate",
]
