"""The published form of a report: its page, its numbers and the rows that they are computed from."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from robustbench_aig.commands import placeless, with_flag
from robustbench_aig.errors import InputError, RunError
from robustbench_aig.files import UnwritableError, make_folder, unwritable
from robustbench_aig.manifest import Manifest
from robustbench_aig.records import Checkup, Plan, Report
from robustbench_aig.records.documents import parse_json
from robustbench_aig.reporting.evidence import CHECKS, Evidence, load_evidence
from robustbench_aig.reporting.report_files import write_report
from robustbench_aig.reporting.table_columns import with_defaults
from robustbench_aig.reporting.without_evidence import came_alone
from robustbench_aig.sample_table import NAMES, parquet, read_parquet, table_of

_AS_THEY_ARE = (NAMES, "times.json", "latency.json", "pace.json")


def publish(directory: Path, out: Path) -> Report:
    """Write into a new folder what a reader of a report needs to compute it again.

    Plan, sample tables, clocks and checks are there, so that `write_report` and whatever reads a report directory take
    it as they do the one that was measured. Left out are attacked images, which only the page shows, and where things
    lay on the machine: of absolute paths in commands the last part stays, and `asked` is null.

    Args:
        directory: a report directory whose evaluations are all finished.
        out: the folder to make; it's there whole or not at all.

    Raises:
        RunError: rows are missing, or something in `directory` is damaged.
        InputError: `out` exists or can't be written.
    """
    if out.exists():
        raise InputError(f"{out} exists: --publish makes a new folder, name one that isn't there")
    if came_alone(directory):
        raise RunError(f"{directory} has no sample tables: publish the report directory that `attack` wrote")
    evidence = load_evidence(directory)
    _check_finished(evidence, directory)
    try:
        make_folder(out.parent)
        with _room(out) as room:
            staged = Path(room) / out.name
            _write(evidence, directory, staged)
            report = write_report(staged, pictures=directory)
            _move(staged, out)
    except UnwritableError as error:
        raise unwritable(out, error.reason, "--publish") from None
    return report


def _room(out: Path) -> TemporaryDirectory[str]:
    try:
        return TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.")
    except OSError as error:
        raise unwritable(out, error) from None


def _move(staged: Path, out: Path) -> None:
    try:
        staged.rename(out)
    except OSError as error:
        raise unwritable(out, error) from None


def _check_finished(evidence: Evidence, directory: Path) -> None:
    plan = evidence.plan
    missing = [e.id for e in plan.evaluations if e.id not in evidence.rows]
    if missing:
        raise RunError(
            f"{directory} lacks the rows of {len(missing)} of its {len(plan.evaluations)} evaluations, first of "
            f"{missing[0]}: finish it with: {with_flag(plan.command, '--resume')}"
        )


def _write(evidence: Evidence, directory: Path, staged: Path) -> None:
    """All but the report itself."""
    make_folder(staged / "samples")
    theirs = Manifest.of(directory)
    # Nothing that could not be verified becomes so by being published.
    ours = Manifest(staged, None) if theirs.files is None else Manifest.begin(staged)
    ours.write("plan.json", _placeless(evidence.plan).model_dump_json(indent=1))
    for evaluation in evidence.rows:  # each is checked when it's asked for
        _ = evidence.rows[evaluation]
        table = table_of(evaluation)
        ours.write(table, parquet(with_defaults(read_parquet(theirs.read(table), directory / table))))
    for path in (directory / CHECKS).glob("*.json"):
        make_folder(staged / CHECKS)
        name = f"{CHECKS}/{path.name}"
        checkup = Checkup.model_validate(parse_json(theirs.read(name), path))
        checkup = checkup.model_copy(update={"command": placeless(checkup.command)})
        ours.write(name, checkup.model_dump_json(indent=1))
    for name in _AS_THEY_ARE:
        if (directory / name).is_file():
            ours.write(name, theirs.read(name))


def _placeless(plan: Plan) -> Plan:
    """A plan without the places on the machine, none of which decides a number."""
    models = [
        model.model_copy(update={"imported": model.imported and placeless(model.imported)}) for model in plan.models
    ]
    command = placeless(plan.command)
    return plan.model_copy(update={"command": command, "models": models, "asked": None})
