"""A report that came without its evidence: the page that can be made of `report.json` alone."""

from __future__ import annotations

from pathlib import Path

from robustbench_aig.files import write_atomic
from robustbench_aig.manifest import Manifest
from robustbench_aig.records import EXACT, Draws, EvaluationPlan, Plan, Report
from robustbench_aig.records.documents import REPORT, load_report
from robustbench_aig.reporting.answers import answers
from robustbench_aig.reporting.evidence import Evidence, load_plan
from robustbench_aig.reporting.report_page import render
from robustbench_aig.reporting.table_reader import SampleTables


def came_alone(path: Path) -> bool:
    """Whether a file, or the `report.json` of a directory, has no sample table beside it.

    Raises:
        RunError: the plan beside it is damaged.
    """
    if path.is_file():
        return path.suffix == ".json"
    if not (path / REPORT).is_file():
        return False
    return not (path / "plan.json").is_file() or (
        not len(SampleTables(Manifest.of(path), load_plan(path))) and bool(load_report(path).evaluations)
    )


def write_lone_page(path: Path) -> tuple[Report, Path]:
    """Write the page of a report without evidence beside it; the report stays as it is. Returns both.

    Raises:
        RunError: it is damaged, or was written by a newer version.
        InputError: the folder cannot be written.
    """
    report = load_report(path)
    evidence = _evidence(report)
    # Early versions wrote no answers.
    report = report.model_copy(update={"answers": report.answers or answers(report, evidence.plan)})
    page = path / "report.html" if path.is_dir() else path.with_suffix(".html")
    write_atomic(page, render(report, evidence, page.parent, None))
    return report, page


def _evidence(report: Report) -> Evidence:
    """What a report says of its plan; no rows, and no settings of attacks, which it doesn't say."""
    evaluations = [
        EvaluationPlan(
            id=e.id,
            model=e.model,
            policy=e.gate_policy,
            attack=e.attack,
            role=e.role,
            provider=e.provider,
            provider_version=e.provider_version,
            threat=e.threat,
            corruption=e.corruption,
        )
        for e in report.evaluations
    ]
    plan = Plan(
        created=report.created,
        command=report.command,
        seed=report.seed,
        digest=report.digest,
        chunk=report.data.n,
        draws=_draws([e.robust_accuracy.draws for e in report.evaluations]),
        cascade=any(e.skipped for e in report.evaluations),
        environment=report.environment,
        data=report.data,
        models=report.models,
        evaluations=evaluations,
    )
    return Evidence(plan, {}, {}, {}, alone=True)


def _draws(found: list[Draws]) -> Draws:
    """Of the random networks, which alone have more than one."""
    return EXACT if EXACT in found else max((draws for draws in found if draws != EXACT), default=1)
