"""One row per evaluation, and one per worst case over attacks: for programs that take tables."""

from __future__ import annotations

import json

from robustbench_aig.records import Accuracy, Evaluation, Report
from robustbench_aig.threat import Threat

Cell = str | int | float | None

EVALUATIONS = "evaluations.jsonl"
"""Their file in a report directory."""


def tidy_rows(report: Report) -> list[dict[str, Cell]]:
    """The numbers of a report in rows of equal columns, in the report's order; attack "union" is the worst case.

    Accuracies, rates and shares are in [0, 1]. What wasn't measured, or doesn't apply, is None.
    """
    families = {model.name: model.family for model in report.models}
    clean = {(e.model, e.gate_policy): e.clean_accuracy for e in report.evaluations}
    rows = [
        _row(families[e.model], e.model, e.gate_policy, e.attack, e.role, e.threat, e.robust_accuracy, e.clean_accuracy)
        | {"id": e.id, "provider": e.provider, "status": e.status, "errors": e.errors, "skipped": e.skipped}
        | {"corruption": str(e.corruption) if e.corruption else None}
        | _gates_and_compute(e)
        for e in report.evaluations
    ]
    unions = [
        _row(families[w.model], w.model, w.gate_policy, "union", "union", w.threat, w.accuracy, clean.get(of))
        | {"status": w.status}
        for w in report.worst_case
        for of in [(w.model, w.gate_policy)]
    ]
    columns = dict.fromkeys(key for row in [*rows, *unions] for key in row)
    return [{name: row.get(name) for name in columns} for row in [*rows, *unions]]


def evaluations_file(report: Report) -> str:
    """The same as JSON, a row per line."""
    return "".join(f"{json.dumps(row)}\n" for row in tidy_rows(report))


def _row(
    family: str,
    model: str,
    policy: str,
    attack: str,
    role: str,
    threat: Threat | None,
    accuracy: Accuracy,
    clean: Accuracy | None,
) -> dict[str, Cell]:
    return {
        "model": model,
        "family": family,
        "gate_policy": policy,
        "attack": attack,
        "role": role,
        "norm": threat.norm if threat else None,
        "eps": threat.eps if threat else None,
        "radius": threat.value if threat else None,
        "accuracy": accuracy.value,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "clean_accuracy": clean.value if clean else None,
        "n": accuracy.n,
    }


def _gates_and_compute(e: Evaluation) -> dict[str, Cell]:
    gates, compute = e.gates, e.compute
    return {
        "flip_rate": gates.flip_rate if gates else None,
        "flip_low": gates.flip_low if gates else None,
        "flip_high": gates.flip_high if gates else None,
        "noise_flip_rate": gates.noise_flip_rate if gates else None,
        "clean_macs": compute.clean_macs if compute else None,
        "macs": compute.adversarial_macs if compute else None,
        "recovered": compute.recovered if compute else None,
        "recovered_low": compute.recovered_low if compute else None,
        "recovered_high": compute.recovered_high if compute else None,
        "forwards": e.cost.forwards,
        "backwards": e.cost.backwards,
        "seconds": e.cost.seconds,
    }
