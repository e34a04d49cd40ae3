"""From a gated run and the runs beside it to the members of its ablation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from robustbench_aig.ladder import Role, Run, control_recipe, controls, find_control
from robustbench_aig.policy_traits import STOCHASTIC
from robustbench_aig.recipes import GatedResNetRecipe, ModelRecipe, ResNetRecipe
from robustbench_aig.runs import RunRecord, list_runs


def wanted_controls(record: RunRecord) -> dict[Role, ResNetRecipe]:
    """The networks that the ladder of a gated run needs; the compute of its sampled gates decides the matched depth."""
    from robustbench_aig.models import matched_depth  # noqa: PLC0415 - imports torch

    model, metrics = record.recipe.model, record.metrics
    depth = 8
    if isinstance(model, GatedResNetRecipe):
        # Without a training of its own, what the gates were trained towards is the best guess.
        rates = metrics.validation[STOCHASTIC].rates if metrics else model.targets
        depth = matched_depth(model, rates, len(record.data.classes), record.data.shape)
    return controls(record, depth)


def found_controls(record: RunRecord, *roots: Path) -> dict[Role, Run | None]:
    """The finished run of each control below some folders, or None."""
    runs = _runs(roots)
    return {role: find_control(settings, record, runs) for role, settings in wanted_controls(record).items()}


def lacking_controls(record: RunRecord, *roots: Path) -> list[tuple[str, ModelRecipe]]:
    """Name and recipe of each control that has no finished run below some folders."""
    wanted, runs = wanted_controls(record), _runs(roots)
    return [
        control_recipe(record, settings) for settings in wanted.values() if find_control(settings, record, runs) is None
    ]


def _runs(roots: Iterable[Path]) -> list[Run]:
    """Each run once, whatever folders are the same."""
    return [run for root in {root.resolve(): root for root in roots}.values() for run in list_runs(root)]
