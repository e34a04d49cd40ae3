"""Many reports in one table: networks are ranked where they were attacked alike on the same images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from robustbench_aig.defence_names import JpegDefence
from robustbench_aig.errors import InputError, RunError
from robustbench_aig.records import Report
from robustbench_aig.records.documents import REPORT, load_report
from robustbench_aig.reporting.leaderboard.entries import NOT_CHECKED, entries_of
from robustbench_aig.reporting.leaderboard.records import Entry, Group, Leaderboard, Standing, Unread
from robustbench_aig.reporting.words import threat_text
from robustbench_aig.threat import Threat

Key = tuple[str, str, int, str]
"""Name, split, number and digest of images."""
Network = tuple[str, JpegDefence | None, str]
"""Digest of the weights, defence and gate policy."""
Met = dict[tuple[str, str], frozenset[str]]
"""Family and gate policy to the attacks that such networks met."""


def leaderboard(directory: Path, by: Threat | None = None, *, base: Path | None = None) -> Leaderboard:
    """Read every `report.json` below a directory and rank what was attacked alike on the same images.

    Args:
        directory: that is searched.
        by: threat whose union ranks; None takes, for each set of images, the one that most reports have.
        base: what paths are relative to, for links; None for the directory.

    Raises:
        InputError: there is no report, or none has a union at `by`.
    """
    files = sorted(directory.rglob(REPORT))
    if not files:
        raise InputError(f"there is no {REPORT} below {directory}: name a folder of report directories")
    read: dict[Key, list[list[Entry]]] = {}
    unread = []
    for file in files:
        try:
            report = load_report(file)
        except RunError as error:
            unread.append(Unread(report=_relative(file, base or directory), reason=str(error)))
            continue
        page = file.with_name("report.html")
        paths = [_relative(path, base or directory) for path in (file, page if page.is_file() else file)]
        read.setdefault(_key(report), []).append(entries_of(report, *paths))
    _check_known(by, [entry for reports in read.values() for entries in reports for entry in entries])
    groups = [group for key, reports in sorted(read.items()) for group in _groups(key, reports, by)]
    return Leaderboard(groups=groups, unread=unread)


def _key(report: Report) -> Key:
    return report.data.name, report.data.split, report.data.n, report.data.digest


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()


@dataclass
class _Alike:
    """Reports whose attacks were the same, as far as they apply to a network.

    Attributes:
        attacks: in these reports.
        entries: of these reports.
    """

    attacks: Met = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    def takes(self, attacks: Met) -> bool:
        """Whether networks of one kind met the same attacks here and there, and there are such networks."""
        shared = self.attacks.keys() & attacks.keys()
        return bool(shared) and all(self.attacks[kind] == attacks[kind] for kind in shared)


def _groups(key: Key, reports: Sequence[list[Entry]], by: Threat | None) -> list[Group]:
    """The groups of one set of images: those with the most networks first."""
    fit = [entry for entries in reports for entry in entries if entry.reason is None]
    chosen = _most_shared(fit) if by is None else next((t for t in _threats(fit) if t == by), None)
    told = threat_text(chosen) if chosen else (str(by) if by else "any threat")
    left = [entry for entries in reports for entry in entries if entry.reason is not None]
    left += [e.model_copy(update={"reason": f"no worst case at {told}"}) for e in fit if e.at(chosen) is None]
    alike = _alike([[e for e in entries if e.reason is None and e.at(chosen)] for entries in reports], chosen)
    groups = [
        _group(key, [e for e in one.entries if e.stochastic is stochastic], one, chosen)
        for one in alike
        for stochastic in (False, True)
    ]
    found = sorted((group for group in groups if group.ranked), key=lambda group: -len(group.ranked))
    found = _with_lower(found, chosen)
    if left:
        found.append(_unranked(key, left))
    return found


def _alike(reports: Sequence[list[Entry]], by: Threat | None) -> list[_Alike]:
    """Reports with the most networks are looked at first, so that those with few join them."""
    found: list[_Alike] = []
    for entries in sorted((entries for entries in reports if entries), key=len, reverse=True):
        here = [(entry, standing) for entry in entries if (standing := entry.at(by))]
        attacks: Met = {(entry.family, entry.gate_policy): frozenset(standing.attacks) for entry, standing in here}
        home = next((one for one in found if one.takes(attacks)), None)
        if home is None:
            found.append(home := _Alike())
        home.attacks |= attacks
        home.entries += entries
    return found


def _group(key: Key, entries: Sequence[Entry], alike: _Alike, by: Threat | None) -> Group:
    name, split, n, digest = key
    return Group(
        name=name,
        split=split,
        n=n,
        digest=digest,
        stochastic=any(entry.stochastic for entry in entries),
        attacks=sorted(frozenset[str]().union(*alike.attacks.values())),
        by=by,
        threats=_threats(entries),
        ranked=_ranked(entries, by),
        unranked=[],
    )


def _with_lower(groups: Sequence[Group], by: Threat | None) -> list[Group]:
    """Each network with the lowest of its robust accuracies under other attacks, where that is lower."""
    lowest: dict[Network, Standing] = {}
    for entry in (entry for group in groups for entry in group.ranked):
        standing = entry.at(by)
        assert standing is not None
        lowest[_network(entry)] = min(lowest.get(_network(entry), standing), standing, key=_value)
    return [
        group.model_copy(
            update={
                "ranked": [
                    entry.model_copy(update={"lower": found})
                    if _value(found := lowest[_network(entry)]) < _robust(entry, by)
                    else entry
                    for entry in group.ranked
                ]
            }
        )
        for group in groups
    ]


def _network(entry: Entry) -> Network:
    return entry.weights_digest, entry.defence, entry.gate_policy


def _value(standing: Standing) -> float:
    return standing.accuracy.value


def _unranked(key: Key, entries: list[Entry]) -> Group:
    name, split, n, digest = key
    return Group(
        name=name,
        split=split,
        n=n,
        digest=digest,
        stochastic=False,
        attacks=[],
        by=None,
        threats=[],
        ranked=[],
        unranked=entries,
    )


def _ranked(entries: Sequence[Entry], by: Threat | None) -> list[Entry]:
    """Each network under each policy once: each of its robust accuracies is an upper bound, and the lowest is shown."""
    same: dict[Network, list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: (_robust(e, by), e.created, e.report)):
        same.setdefault(_network(entry), []).append(entry)
    once = [_strongest(reports, by) for reports in same.values()]
    return [
        entry.model_copy(update={"rank": 1 + sum(_robust(e, by) > _robust(entry, by) for e in once)})
        for entry in sorted(once, key=lambda e: (-_robust(e, by), e.model, e.gate_policy))
    ]


def _robust(entry: Entry, by: Threat | None) -> float:
    standing = entry.at(by)
    assert standing is not None
    return _value(standing)


def _strongest(reports: Sequence[Entry], by: Threat | None) -> Entry:
    """One network as several reports have it, the one where its robust accuracy at `by` is lowest first."""
    first, met = reports[0], reports[0].at(by)
    assert met is not None
    found: dict[Threat, Standing] = {}
    for one in (standing for entry in reports for standing in entry.standings):
        # Under other attacks than those that rank it, it could not be compared with its neighbours.
        if set(one.attacks) == set(met.attacks):
            found[one.threat] = min(found.get(one.threat, one), one, key=_value)
    checks = next((entry.checks for entry in reports if entry.checks != NOT_CHECKED), NOT_CHECKED)
    return first.model_copy(
        update={"standings": list(found.values()), "checks": checks, "also": [entry.report for entry in reports[1:]]}
    )


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
