"""From a finished run and its network to subjects of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from robustbench_aig.evaluation.judge import Subject
from robustbench_aig.models import GatedBlock, profile_macs
from robustbench_aig.recipes import GatedResNetRecipe
from robustbench_aig.records import GateRecord, ModelRecord
from robustbench_aig.runs import RunRecord

PLAIN = "none"
"""The policy of a network without gates."""


def subjects_of(record: RunRecord, model: nn.Module, policies: Sequence[str]) -> tuple[ModelRecord, list[Subject]]:
    """The record of a network and the network under each policy.

    Args:
        record: of its run.
        model: the loaded network; it is put into eval mode and channels-last layout, in place.
        policies: for a gated network; a plain one has a single subject.
    """
    profile = profile_macs(model, record.data.shape)
    model.eval().to(memory_format=torch.channels_last)
    described = ModelRecord(
        name=record.name,
        recipe=record.recipe_name,
        family="gated" if record.gated else "plain",
        parameters=record.parameters,
        total_macs=profile.total,
        gates=_gates(record, model, profile.blocks),
        weights_digest=record.weights_digest or "",
        training=_training(record),
    )
    return described, [Subject(record.name, model, profile, p) for p in (policies if record.gated else [PLAIN])]


def _training(record: RunRecord) -> dict[str, Any]:
    """What a reader of the report should know of the training; the run itself knows the rest."""
    assert record.metrics is not None
    scores = {"validation": record.metrics.validation, "test": record.metrics.test}
    return {
        "data": record.data.name,
        "epochs": record.recipe.training.epochs,
        "seed": record.seed,
        **{f"{split} accuracy": {p: s.accuracy for p, s in by_policy.items()} for split, by_policy in scores.items()},
        "mean execution rate, test": {p: s.mean_rate for p, s in record.metrics.test.items() if s.rates},
    }


def _gates(record: RunRecord, model: nn.Module, macs: Sequence[int]) -> list[GateRecord]:
    recipe = record.recipe.model
    if not isinstance(recipe, GatedResNetRecipe):
        return []
    blocks = [module for module in model.modules() if isinstance(module, GatedBlock)]
    per_stage = len(blocks) // 3
    return [
        GateRecord(
            name=f"{position // per_stage + 1}.{position % per_stage + 1}",
            macs=macs[position],
            target=recipe.targets[position],
            transition=not isinstance(block.shortcut, nn.Identity),
        )
        for position, block in enumerate(blocks)
    ]
