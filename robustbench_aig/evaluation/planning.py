"""The plan of an evaluation: everything that decides its numbers, fixed before the first pass."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from robustbench_aig.attacks import provider_version
from robustbench_aig.errors import InputError
from robustbench_aig.evaluation.applicability import left_out
from robustbench_aig.files import distinct_names
from robustbench_aig.recipes import NamedAttack
from robustbench_aig.records import (
    Asked,
    CorruptionRecord,
    DataRecord,
    Draws,
    EvaluationPlan,
    ModelRecord,
    Plan,
    Precision,
    Rung,
)
from robustbench_aig.threat import Threat

NUMBERS_SINCE = "0.1.0"
"""The version of aigrob since which equal plans give equal numbers. In a digest it stands for our own, so that a later
version goes on with what an earlier one began; what changes the numbers of attacks or judge raises it."""

_LONGEST = 100
"""Bytes of a network's name in a file's."""

_UNNAMED = "unnamed"
"""Until all evaluations are known, since their names must differ."""


def plan_evaluations(
    models: Sequence[tuple[ModelRecord, Sequence[str]]],
    attacks: Sequence[NamedAttack],
    threats: Sequence[Threat],
    corruptions: Sequence[CorruptionRecord] = (),
) -> list[EvaluationPlan]:
    """What is measured of every model under every policy: the clean image first, then all attacks, then corruptions.

    Args:
        models: each with the policies it is judged under; ("none",) for a plain network.
        attacks: named recipes, each at every threat where it suits.
        threats: repeated epsilons are measured once.
        corruptions: measured once each.
    """
    evaluations = []
    for model, policies in models:
        for policy in policies:
            spared = left_out(attacks, model, policy)
            evaluations.append(_clean(model.name, policy))
            evaluations += [
                _attacked(model.name, policy, (name, recipe), threat)
                for threat in dict.fromkeys(threats)
                for name, recipe in attacks
                if name not in spared
            ]
            evaluations += [_corrupted(model.name, policy, corruption) for corruption in corruptions]
    return _as_files(evaluations)


def _as_files(evaluations: Sequence[EvaluationPlan]) -> list[EvaluationPlan]:
    """The same with ids that are names of files, whatever networks and attacks are called."""
    models = distinct_names([evaluation.model for evaluation in evaluations], _LONGEST)
    texts = [re.sub("[/:]", "_", f"{models[e.model]}.{e.policy}.{_what(e)}") for e in evaluations]
    ids = distinct_names(texts)
    return [e.model_copy(update={"id": ids[text]}) for e, text in zip(evaluations, texts, strict=True)]


def _what(evaluation: EvaluationPlan) -> str:
    if evaluation.threat:
        return f"{evaluation.attack}.{evaluation.threat.norm}-{evaluation.threat.eps}"
    if evaluation.corruption:
        return f"{evaluation.corruption.name}.severity-{evaluation.corruption.severity}"
    return evaluation.attack


def _clean(model: str, policy: str) -> EvaluationPlan:
    return EvaluationPlan(
        id=_UNNAMED,
        model=model,
        policy=policy,
        attack="clean",
        role="clean",
        provider="aigrob",
        provider_version=provider_version("aigrob"),
    )


def _attacked(model: str, policy: str, attack: NamedAttack, threat: Threat) -> EvaluationPlan:
    name, recipe = attack
    return EvaluationPlan(
        id=_UNNAMED,
        model=model,
        policy=policy,
        attack=name,
        role=recipe.role,
        provider=recipe.attack.provider,
        provider_version=provider_version(recipe.attack.provider),
        settings=recipe.attack.model_dump(),
        threat=threat,
    )


def _corrupted(model: str, policy: str, corruption: CorruptionRecord) -> EvaluationPlan:
    computed = corruption.source == "computed"
    return EvaluationPlan(
        id=_UNNAMED,
        model=model,
        policy=policy,
        attack=f"{corruption.name}:{corruption.severity}",
        role="corruption",
        provider="aigrob" if computed else "files",
        provider_version=provider_version("aigrob") if computed else corruption.source[:12],
        corruption=corruption,
    )


def make_plan(
    *,
    data: DataRecord,
    models: Sequence[ModelRecord],
    evaluations: Sequence[EvaluationPlan],
    seed: int,
    chunk: int,
    draws: Draws,
    command: str,
    environment: dict[str, Any],
    ladder: Sequence[Rung] = (),
    cascade: bool = False,
    precision: Precision = "fp32",
    asked: Asked | None = None,
) -> Plan:
    """A plan with its digest.

    The digest covers data, weights, attacks with their providers' versions (ours: `NUMBERS_SINCE`), threats,
    corruptions, policies, seed, chunk, draws, cascade and precision, and the version of torch; not the command, what it
    called all this, the date or the machine.
    """
    if not evaluations:
        raise InputError("nothing to evaluate: name at least one attack and one epsilon, or a corruption")
    decisive = {
        "data": data.model_dump(),
        "models": [_decisive_of(model) for model in models],
        "evaluations": [_decisive(evaluation) for evaluation in evaluations],
        "seed": seed,
        "chunk": chunk,
        "draws": draws,
        "torch": environment.get("torch"),
        **({"cascade": True} if cascade else {}),
        **({"precision": precision} if precision != "fp32" else {}),
    }
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True, default=str).encode()).hexdigest()
    return Plan(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        seed=seed,
        digest=digest,
        chunk=chunk,
        draws=draws,
        cascade=cascade,
        precision=precision,
        environment=environment,
        data=data,
        models=list(models),
        evaluations=list(evaluations),
        ladder=list(ladder),
        asked=asked,
    )


def _decisive_of(model: ModelRecord) -> dict[str, Any]:
    """Without the speed of its training, its twin and the words of an import: others may lead to equal weights.

    Nor does it matter how the run was trained that it began with: that has weights, too.

    And without what is told of a foreign network since, but for its dice, or of static paths where nobody asked for
    them: digests stay what they were before.
    """
    since: dict[str, Any] = dict.fromkeys(["foreign", "macs_unknown", "soft", "patterns", "twin", "budgets"], True)
    training: dict[str, Any] = {"speed": True, "initial": {"recipe", "recipe_digest", "seed"}}
    dumped = model.model_dump(exclude={"training": training, "imported": True, **since})
    patterns = {name: pattern.opened for name, pattern in model.patterns.items()}
    return dumped | ({"restless": True} if model.restless else {}) | ({"patterns": patterns} if patterns else {})


def _decisive(evaluation: EvaluationPlan) -> dict[str, Any]:
    """Without the key of corruptions where there is none, as before there were any: digests stay what they were."""
    ours = {"provider_version": NUMBERS_SINCE} if evaluation.provider == "aigrob" else {}
    return evaluation.model_dump(exclude=None if evaluation.corruption else {"corruption"}) | ours
