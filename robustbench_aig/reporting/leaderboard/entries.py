"""What one report says of each of its networks under each gate policy."""

from __future__ import annotations

import json
from collections.abc import Sequence

from robustbench_aig.files import sha256_of_bytes
from robustbench_aig.policy_traits import traits
from robustbench_aig.records import Evaluation, Report, WorstCase
from robustbench_aig.reporting.leaderboard.records import Entry, Images, Standing
from robustbench_aig.reporting.tables.gate_table import strongest_of
from robustbench_aig.reporting.words import listing

NOT_CHECKED, NONE_FAILED = "not run", "none failed"
_CLAIM = "more-robust"
"""The claim on what a leaderboard ranks by."""


def entries_of(report: Report, path: str, page: str) -> list[Entry]:
    """The networks of a report, unranked.

    Args:
        report: that is read.
        path: of its report.json.
        page: path of what shows it.
    """
    models = {model.name: model for model in report.models}
    images, entries = Images.of(report.data), []
    for name, policy in dict.fromkeys((e.model, e.gate_policy) for e in report.evaluations):
        mine = [e for e in report.evaluations if (e.model, e.gate_policy) == (name, policy)]
        model, clean = models[name], next((e for e in mine if e.role == "clean"), None)
        entries.append(
            Entry(
                reason=_failed(mine) if report.status == "error" else None,
                images=images,
                model=name,
                recipe=model.recipe,
                family=model.family,
                gate_policy=policy,
                defence=model.defence,
                weights_digest=model.weights_digest,
                stochastic=model.restless or traits(policy).draws,
                clean=clean and clean.robust_accuracy,
                clean_macs=clean and clean.compute and clean.compute.clean_macs,
                checks=_checks(report, name, policy),
                claim=_claim(report, name, policy),
                standings=_standings(report, name, policy, path),
                created=report.created,
                report=path,
                page=page,
            )
        )
    return entries


def _failed(mine: Sequence[Evaluation]) -> str:
    """Why a report with failed images ranks nobody, as seen from one of its networks."""
    attacks = list(dict.fromkeys(e.attack for e in mine if e.errors))
    return f"images failed ({listing(attacks)})" if attacks else "images of other networks in this report failed"


def _checks(report: Report, model: str, policy: str) -> str:
    found = [checkup for checkup in report.checks if (checkup.run, checkup.policy) == (model, policy)]
    if not found:
        return NOT_CHECKED
    failed = [name for checkup in found for name in checkup.named("fail")]
    return f"failed: {listing(failed)}" if failed else NONE_FAILED


def _claim(report: Report, model: str, policy: str) -> str | None:
    asked = (c for c in report.claims if c.id == _CLAIM and c.gate_policy == policy and model in c.gated)
    return next((claim.ruled for claim in asked), None)


def _standings(report: Report, model: str, policy: str, path: str) -> list[Standing]:
    standings = []
    for worst in report.worst_case:
        if (worst.model, worst.gate_policy) == (model, policy):
            strongest = strongest_of(report, worst)
            whole = strongest if strongest and not strongest.skipped else None
            standings.append(
                Standing(
                    threat=worst.threat,
                    accuracy=worst.accuracy,
                    attacks=worst.attacks,
                    settings=_settings(report, worst),
                    cascade=any(e.skipped for e in report.evaluations if _under(e, model, policy, worst.threat)),
                    adversarial_macs=whole and whole.compute and whole.compute.adversarial_macs,
                    report=path,
                )
            )
    return standings


def _settings(report: Report, worst: WorstCase) -> str | None:
    """A digest of how each attack of a union was set, and by how many draws it's scored; None where that's not told."""
    found = {
        e.attack: e.settings_digest
        for e in report.evaluations
        if e.role == "attack" and _under(e, worst.model, worst.gate_policy, worst.threat)
    }
    if None in found.values():
        return None
    told = [worst.accuracy.draws, sorted(found.items())]
    return sha256_of_bytes(json.dumps(told).encode())


def _under(e: Evaluation, model: str, policy: str, threat: object) -> bool:
    return (e.model, e.gate_policy, e.threat) == (model, policy, threat)
