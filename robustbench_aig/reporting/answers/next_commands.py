"""The commands that bring what a report lacks, on the same networks and images."""

from __future__ import annotations

from pathlib import Path

from robustbench_aig.commands import aigrob
from robustbench_aig.norms import DEFAULT
from robustbench_aig.policy_traits import PLAIN
from robustbench_aig.records import Asked, Report
from robustbench_aig.reporting.answers.asked_networks import AskedNetworks


def attack_command(of: AskedNetworks, suite: str) -> str | None:
    """Attacks the networks by a suite; None where nothing tells how they were named."""
    report, asked = of.report, of.report.asked
    if asked is None or any(name not in asked.networks for name in [*of.plain, *of.gated]):
        return None
    named = [asked.networks[name] for name in [*of.plain, *of.gated]]
    return aigrob(
        "attack",
        *[one.run for one in named if one.run],
        model=[one.model for one in named if one.model],
        weights=[one.weights for one in named if one.weights],
        defence=list(dict.fromkeys(one.defence for one in named if one.defence)),
        policy=of.policies,
        suite=suite,
        norm=asked.norm if asked.norm != DEFAULT else None,
        eps=[threat.eps for threat in of.threats],
        limit=None if asked.images else report.data.n,
        **_where(asked),
    )


def check_command(asked: Asked, name: str, policy: str | None, directory: Path) -> str:
    """Checks a network of a report, on the report's images, and puts the result into it."""
    named = asked.networks[name]
    return aigrob(
        "check",
        *filter(None, [named.run]),
        model=named.model,
        weights=named.weights,
        defence=named.defence,
        policy=policy,
        norm=None if asked.norm == DEFAULT else asked.norm,
        **_where(asked),
        into=directory,
    )


def missing_checks(report: Report, directory: Path) -> list[str]:
    """The commands that claims wait for."""
    claims = [claim for claim in report.claims if claim.checks == "not run"]
    waiting = {(name, claim.gate_policy) for claim in claims for name in claim.gated}
    waiting |= {(name, None) for claim in claims for name in claim.plain}
    have = {(checkup.run, None if checkup.policy == PLAIN else checkup.policy) for checkup in report.checks}
    asked = report.asked
    if asked is None:
        return []
    return [check_command(asked, name, policy, directory) for name, policy in sorted(waiting - have, key=str)]


def _where(asked: Asked) -> dict[str, str | int | None]:
    """How data, runs and device were named."""
    return {
        "data": asked.data,
        "images": asked.images,
        "runs": None if asked.runs == "runs" else asked.runs,
        "seed": asked.seed or None,
        "device": None if asked.device == "auto" else asked.device,
    }
