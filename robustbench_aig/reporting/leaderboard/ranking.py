"""Many reports in one table: the networks that were measured on the same images, by their robust accuracy."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from robustbench_aig.defence_names import JpegDefence
from robustbench_aig.errors import InputError, RunError
from robustbench_aig.records import Evaluation, Report
from robustbench_aig.records.documents import REPORT, load_report
from robustbench_aig.reporting.leaderboard.records import Entry, Group, Leaderboard, Standing, Unread
from robustbench_aig.reporting.tables.gate_table import strongest_of
from robustbench_aig.reporting.words import listing, threat_text
from robustbench_aig.threat import Threat


def leaderboard(directory: Path, by: Threat | None = None, *, base: Path | None = None) -> Leaderboard:
    """Read every `report.json` below a directory and rank what was measured on the same images.

    Args:
        directory: that is searched.
        by: threat whose union ranks; None takes, in each group, the one that most reports have.
        base: what paths are relative to, for links; None for the directory.

    Raises:
        InputError: there is no report, or none has a union at `by`.
    """
    files = sorted(directory.rglob(REPORT))
    if not files:
        raise InputError(f"there is no {REPORT} below {directory}: name a folder of report directories")
    grouped: dict[tuple[str, str, int, str], list[Entry]] = {}
    unread = []
    for file in files:
        try:
            report = load_report(file)
        except RunError as error:
            unread.append(Unread(report=_relative(file, base or directory), reason=str(error)))
            continue
        page = file.with_name("report.html")
        paths = [_relative(path, base or directory) for path in (file, page if page.is_file() else file)]
        data = report.data
        grouped.setdefault((data.name, data.split, data.n, data.digest), []).extend(_entries(report, *paths))
    _check_known(by, [entry for entries in grouped.values() for entry in entries])
    groups = [_group(key, entries, by) for key, entries in sorted(grouped.items())]
    return Leaderboard(groups=groups, unread=unread)


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()


def _entries(report: Report, path: str, page: str) -> list[Entry]:
    models = {model.name: model for model in report.models}
    series = dict.fromkeys((e.model, e.gate_policy) for e in report.evaluations)
    entries = []
    for name, policy in series:
        mine = [e for e in report.evaluations if (e.model, e.gate_policy) == (name, policy)]
        model = models[name]
        entries.append(
            Entry(
                reason=_failed(mine) if report.status == "error" else None,
                model=name,
                recipe=model.recipe,
                family=model.family,
                gate_policy=policy,
                defence=model.defence,
                weights_digest=model.weights_digest,
                clean=next((e.robust_accuracy for e in mine if e.role == "clean"), None),
                standings=_standings(report, name, policy, mine),
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


def _standings(report: Report, model: str, policy: str, mine: Sequence[Evaluation]) -> list[Standing]:
    standings = []
    for worst in report.worst_case:
        if (worst.model, worst.gate_policy) == (model, policy):
            strongest = strongest_of(report, worst)
            compute = strongest.compute if strongest else None
            standings.append(
                Standing(
                    threat=worst.threat,
                    accuracy=worst.accuracy,
                    attacks=len(worst.attacks),
                    cascade=any(e.skipped for e in mine if e.threat == worst.threat),
                    clean_macs=compute and compute.clean_macs,
                    adversarial_macs=compute and compute.adversarial_macs,
                )
            )
    return standings


def _group(key: tuple[str, str, int, str], entries: list[Entry], by: Threat | None) -> Group:
    name, split, n, digest = key
    threats = _threats(entries)
    fit = [entry for entry in entries if entry.reason is None]
    chosen = _most_shared(fit) if by is None else next((t for t in threats if t == by), None)
    told = threat_text(chosen) if chosen else (str(by) if by else "any threat")
    without = [e.model_copy(update={"reason": f"no worst case at {told}"}) for e in fit if e.at(chosen) is None]
    return Group(
        name=name,
        split=split,
        n=n,
        digest=digest,
        by=chosen,
        threats=threats,
        ranked=_ranked([entry for entry in fit if entry.at(chosen)], chosen),
        unranked=[*(entry for entry in entries if entry.reason), *without],
    )


def _ranked(entries: Sequence[Entry], by: Threat | None) -> list[Entry]:
    """Each network under each policy once, by the report where its robust accuracy is lowest: others are looser."""

    def kept(entry: Entry) -> float:
        standing = entry.at(by)
        assert standing is not None
        return standing.accuracy.value

    same: dict[tuple[str, JpegDefence | None, str], list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: (kept(e), e.created, e.report)):
        same.setdefault((entry.weights_digest, entry.defence, entry.gate_policy), []).append(entry)
    once = sorted((reports[0] for reports in same.values()), key=lambda e: (-kept(e), e.model, e.gate_policy))
    others = {id(reports[0]): [e.report for e in reports[1:]] for reports in same.values()}
    return [
        entry.model_copy(update={"rank": 1 + sum(kept(e) > kept(entry) for e in once), "also": others[id(entry)]})
        for entry in once
    ]


def _threats(entries: Sequence[Entry]) -> list[Threat]:
    """Every threat once, by norm and then by size."""
    found = dict.fromkeys(one.threat for entry in entries for one in entry.standings)
    return sorted(found, key=lambda threat: threat.rank)


def _most_shared(entries: Sequence[Entry]) -> Threat | None:
    """The threat at which most reports have a union; of several the first of `_threats`."""
    reports = {(entry.report, one.threat) for entry in entries for one in entry.standings}
    count = Counter(threat for _, threat in reports)
    return max(_threats(entries), key=lambda threat: count[threat], default=None)


def _check_known(by: Threat | None, entries: Sequence[Entry]) -> None:
    threats = _threats(entries)
    if by and by not in threats:
        known = ", ".join(f"{threat.norm}:{threat.eps}" for threat in threats) or "none"
        raise InputError(f"--by {by.norm}:{by.eps}: no report has a worst case there; known: {known}")
