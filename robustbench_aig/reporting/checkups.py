"""Checkups beside a report: its claims rest on them."""

from __future__ import annotations

from pathlib import Path

from robustbench_aig.errors import InputError
from robustbench_aig.files import file_name, make_own_folder
from robustbench_aig.locks import only_writer
from robustbench_aig.manifest import Manifest
from robustbench_aig.records import Checkup, Report
from robustbench_aig.reporting.evidence import CHECKS, load_plan
from robustbench_aig.reporting.report_files import write_report


def refuse_foreign(directory: Path, run: str, weights_digest: str | None, policy: str | None) -> None:
    """Refuse a checkup that no claim of a report could rest on.

    Args:
        directory: of the report.
        run: name of the network.
        weights_digest: of what is to be checked.
        policy: of its gates; None where that isn't known yet.

    Raises:
        InputError: the report attacks another network, or this one under other policies.
        RunError: the folder is no report directory.
    """
    plan = load_plan(directory)
    models = {model.name: model.weights_digest for model in plan.models}
    if run not in models:
        raise InputError(f"--into {directory} attacks {', '.join(models)}, not {run}")
    if models[run] != (weights_digest or ""):
        raise InputError(f"--into {directory} attacks other weights of {run}: attack again")
    policies = list(dict.fromkeys(e.policy for e in plan.evaluations if e.model == run))
    if policy is not None and policy not in policies:
        raise InputError(f"--into {directory} attacks {run} under {', '.join(policies)}: choose --policy from these")


def add_checkup(directory: Path, found: Checkup) -> Report:
    """Put a checkup beside a report, in place of an earlier one of the same network and policy; write the page anew.

    Returns:
        The report with it.

    Raises:
        RunError: the report's evidence is damaged, or another process is writing it.
        InputError: the folder cannot be written.
    """
    with only_writer(directory):
        make_own_folder(directory / CHECKS)
        name = file_name(f"{found.run}.{found.policy}")
        Manifest.of(directory).write(f"{CHECKS}/{name}.json", found.model_dump_json(indent=1) + "\n")
        return write_report(directory)
