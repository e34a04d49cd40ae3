"""The ablation of a gated network: networks that differ in one thing each, to separate causes of robustness.

A gated network differs from its plain twin in how it was trained, in how much it computes, in that its blocks depend
on the image and, with sampled gates, in that they are random. Each member of the ablation adds or removes one of
these. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from robustbench_aig.errors import InputError
from robustbench_aig.policy_traits import DETERMINISTIC, PLAIN, STOCHASTIC
from robustbench_aig.recipes import GatedResNetRecipe, ModelRecipe, ResNetRecipe, StochasticDepthRecipe
from robustbench_aig.runs import RunRecord

Key = Literal["R0", "R0'", "R1", "R2", "R3", "R4", "R4k", "R4r", "R5", "R6", "R7", "R7b"]
Role = Literal["plain", "matched", "stochastic", "gated"]
Run = tuple[Path, RunRecord]

RUNGS: dict[Key, tuple[Role, str, str]] = {
    "R0": ("plain", PLAIN, "plain, equal depth"),
    "R0'": ("matched", PLAIN, "plain, equal mean compute"),
    "R1": ("stochastic", "expected", "stochastic depth, deterministic"),
    "R2": ("stochastic", "random", "stochastic depth, blocks dropped at random at the gates' rates"),
    "R3": ("gated", DETERMINISTIC, "gated, deterministic (argmax)"),
    "R4": ("gated", STOCHASTIC, "gated, stochastic (sampled)"),
    "R4k": ("gated", "known", "gated, sampled once, with noise that the attacker knows"),
    "R4r": ("gated", "random", "gated, opened at random at its own rates"),
    "R5": ("gated", "open", "gated, all open"),
    "R6": ("gated", "expected", "gated, expected"),
    "R7": ("gated", "majority", "gated, one path for all images: each gate's majority"),
    "R7b": ("gated", "static", "gated, one path for all images: the best of no more compute"),
}
"""Rung to the network it is measured on, the gate policy, and how a reader calls it."""


class Step(NamedTuple):
    """Two members of the ablation that differ in one thing."""

    upper: Key
    lower: Key
    isolates: str


STEPS = (
    Step("R4", "R0", "the published claim: stochastic gates against the plain twin"),
    Step("R3", "R0", "the same without randomness"),
    Step("R3", "R0'", "gates against a plain network of the same mean compute"),
    Step("R0'", "R0", "less depth and compute, no gates"),
    Step("R1", "R0", "training with dropped blocks"),
    Step("R3", "R1", "choosing blocks by the image"),
    Step("R2", "R1", "dropping random blocks at test time"),
    Step("R4", "R3", "randomness of the gates"),
    Step("R3", "R7", "choosing blocks by the image, against each gate's majority"),
    Step("R3", "R7b", "choosing blocks by the image, against one path of no more compute"),
    Step("R7b", "R0'", "weights trained with gates, at equal compute without choosing"),
    Step("R4", "R4k", "hiding the gates' noise from the attacker"),
    Step("R4", "R4r", "stochastic gates that look at the image, at equal rates and weights"),
    Step("R4r", "R2", "weights trained with gates, at equal randomness"),
    Step("R5", "R3", "running every block of the gated network"),
    Step("R6", "R3", "weighting blocks instead of choosing them"),
)


def controls(record: RunRecord, matched_depth: int) -> dict[Role, ResNetRecipe]:
    """The networks that the ablation of a gated run needs besides it; no "matched" one where that is the plain one.

    Args:
        record: of the gated run.
        matched_depth: of the plain network whose compute is nearest to the run's mean.

    Raises:
        InputError: the run is no gated ResNet.
    """
    model = record.recipe.model
    if not isinstance(model, GatedResNetRecipe):
        raise InputError(f"{record.name} is no gated ResNet: an ablation starts from one, such as cifar10/aig20")
    found: dict[Role, ResNetRecipe] = {
        "plain": ResNetRecipe(algorithm="resnet", **model.layout),
        "matched": ResNetRecipe(algorithm="resnet", **model.layout | {"depth": matched_depth}),
        "stochastic": StochasticDepthRecipe(algorithm="stochastic-depth-resnet", survival=0.5, **model.layout),
    }
    if matched_depth == model.depth:
        del found["matched"]
    return found


def control_recipe(record: RunRecord, settings: ResNetRecipe) -> tuple[str, ModelRecipe]:
    """Name and recipe of a control: trained as the gated run was, without the loss of the gates."""
    folder = record.recipe_name.rpartition("/")[0]
    short = f"{'sd' if settings.family == 'stochastic' else 'resnet'}{settings.depth}"
    training, depth = record.recipe.training, record.recipe.model.depth
    recipe = ModelRecipe(
        summary=f"Control in the ladder of {record.recipe_name}",
        reference=record.recipe.reference,
        # The plain network of equal depth is the gated one's twin; the others are nobody's.
        twin=record.recipe_name if settings.depth == depth and settings.family == "plain" else None,
        model=settings,
        training=training and training.without_gates,
        preset=record.recipe.preset,
    )
    return f"{folder}/{short}" if folder else short, recipe


def find_control(settings: ResNetRecipe, like: RunRecord, runs: Iterable[Run]) -> Run | None:
    """The finished run of a control: on the same data; with the same training, the same seed, and newest, if several.

    Args:
        settings: of the control's network.
        like: the gated run that it controls.
        runs: where to look.
    """
    fitting = [
        run
        for run in runs
        if run[1].status == "finished" and run[1].recipe.model == settings and run[1].data.matches(like.data)
    ]
    return max(
        fitting,
        key=lambda run: (not training_differs(run[1], like), run[1].seed == like.seed, run[1].finished or ""),
        default=None,
    )


def training_differs(one: RunRecord, other: RunRecord) -> bool:
    """Whether two runs were trained differently, the gates' own loss aside."""
    one_training, other_training = (run.recipe.training and run.recipe.training.without_gates for run in (one, other))
    return one_training != other_training
