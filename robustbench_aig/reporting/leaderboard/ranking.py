"""Many reports in one table: networks are ranked where they were attacked alike on the same images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from robustbench_aig.defence_names import JpegDefence
from robustbench_aig.errors import InputError, RunError
from robustbench_aig.records.documents import REPORT, load_report
from robustbench_aig.reporting.leaderboard.entries import NONE_FAILED, NOT_CHECKED, entries_of
from robustbench_aig.reporting.leaderboard.records import Attacks, Entry, Group, Images, Leaderboard, Standing, Unread
from robustbench_aig.reporting.words import threat_text
from robustbench_aig.threat import Threat

Network = tuple[str, JpegDefence | None, str]
"""Digest of the weights, defence and gate policy."""
Kind = tuple[str, str, bool]
"""Family, gate policy, and whether answers are drawn: attacks apply to all such networks alike."""
Measured = tuple[Network, Threat, Attacks]


def leaderboard(directory: Path, by: Threat | None = None, *, base: Path | None = None) -> Leaderboard:
    """Read every `report.json` below a directory and rank what was attacked alike on the same images.

    Args:
        directory: that is searched.
        by: threat to rank at; None ranks at every threat, first at the one that most reports of the same images have.
        base: what paths are relative to, for links; None for the directory.

    Raises:
        InputError: there is no report, or none has a union at `by`.
    """
    files = sorted(directory.rglob(REPORT))
    if not files:
        raise InputError(f"there is no {REPORT} below {directory}: name a folder of report directories")
    read: dict[Images, list[list[Entry]]] = {}
    unread = []
    for file in files:
        try:
            report = load_report(file)
        except RunError as error:
            unread.append(Unread(report=_relative(file, base or directory), reason=str(error)))
            continue
        page = file.with_name("report.html")
        paths = [_relative(path, base or directory) for path in (file, page if page.is_file() else file)]
        read.setdefault(Images.of(report.data), []).append(entries_of(report, *paths))
    _check_known(by, [entry for reports in read.values() for entries in reports for entry in entries])
    # Of images that are called alike the most come first.
    of_images = sorted(read.items(), key=lambda one: _place(one[0]))
    return Leaderboard(
        groups=[group for images, reports in of_images for group in _groups(images, reports, by)],
        unranked=[entry for _, reports in of_images for entries in reports for entry in _left(entries, by)],
        unread=unread,
    )


def _place(images: Images) -> tuple[str, str, int, str]:
    return images.name, images.split, -images.n, images.digest


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()


@dataclass
class _Comparable:
    """Networks of reports whose attacks were the same, as far as they apply to a network.

    Attributes:
        attacks: what each kind of network met.
        entries: the networks.
    """

    attacks: dict[Kind, Attacks] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    def shares(self, attacks: dict[Kind, Attacks]) -> bool:
        """Whether networks of one kind met the same attacks here and there, and there are such networks."""
        shared = self.attacks.keys() & attacks.keys()
        return bool(shared) and all(self.attacks[kind] == attacks[kind] for kind in shared)


def _groups(images: Images, reports: Sequence[list[Entry]], by: Threat | None) -> list[Group]:
    """The tables of one set of images, threat by threat; at each, those with the most networks first."""
    fit = [[entry for entry in entries if entry.reason is None] for entries in reports]
    every = [entry for entries in fit for entry in entries]
    lowest = _lowest(every)
    return [
        group
        for threat in _most_shared_first(every)
        if by is None or threat == by
        for group in _groups_at(images, [[e for e in entries if e.at(threat)] for entries in fit], threat, lowest)
    ]


def _groups_at(
    images: Images, reports: Sequence[list[Entry]], by: Threat, lowest: dict[Measured, Standing]
) -> list[Group]:
    groups = [
        _group(images, [e for e in one.entries if e.stochastic is stochastic], by, lowest)
        for one in _comparable(reports, by)
        for stochastic in (False, True)
    ]
    return sorted((group for group in groups if group.ranked), key=lambda group: -len(group.ranked))


def _left(entries: Sequence[Entry], by: Threat | None) -> list[Entry]:
    """What stands in no table, with the reason."""
    told = threat_text(by) if by else "any threat"
    return [
        entry if entry.reason else entry.model_copy(update={"reason": f"no worst case at {told}"})
        for entry in entries
        if entry.reason or not (entry.at(by) if by else entry.standings)
    ]


def _lowest(entries: Sequence[Entry]) -> dict[Measured, Standing]:
    """Of each network at each threat under each list of attacks, over all reports: each is an upper bound."""
    found: dict[Measured, Standing] = {}
    for entry in entries:
        for standing in entry.standings:
            place = (_network(entry), standing.threat, standing.met)
            found[place] = min(found.get(place, standing), standing, key=_value)
    return found


def _comparable(reports: Sequence[list[Entry]], by: Threat) -> list[_Comparable]:
    """Reports with the most networks are looked at first, so that those with few join them."""
    found: list[_Comparable] = []
    parts = [part for entries in reports for part in _parts(entries, by)]
    for part in sorted(parts, key=len, reverse=True):
        attacks = {_kind(entry): _attacks(entry, by) for entry in part}
        same = next((one for one in found if one.shares(attacks)), None)
        if same is None:
            found.append(same := _Comparable())
        same.attacks |= attacks
        same.entries += part
    return found


def _parts(entries: Sequence[Entry], by: Threat) -> list[list[Entry]]:
    """The networks of one report, divided where two of a kind met other attacks: nobody is its own transfer source."""
    parts: list[list[Entry]] = []
    for entry in entries:
        fits = (
            part
            for part in parts
            if all(_attacks(other, by) == _attacks(entry, by) for other in part if _kind(other) == _kind(entry))
        )
        part = next(fits, None)
        if part is None:
            parts.append([entry])
        else:
            part.append(entry)
    return parts


def _kind(entry: Entry) -> Kind:
    return entry.family, entry.gate_policy, entry.stochastic


def _attacks(entry: Entry, by: Threat) -> Attacks:
    standing = entry.at(by)
    assert standing is not None
    return standing.met


def _group(images: Images, entries: Sequence[Entry], by: Threat, lowest: dict[Measured, Standing]) -> Group:
    return Group(
        **images.model_dump(),
        stochastic=any(entry.stochastic for entry in entries),
        attacks=sorted({attack for entry in entries for attack in _attacks(entry, by)[0]}),
        by=by,
        ranked=_ranked(entries, by, lowest),
    )


def _network(entry: Entry) -> Network:
    return entry.weights_digest, entry.defence, entry.gate_policy


def _value(standing: Standing) -> float:
    return standing.accuracy.value


def _ranked(entries: Sequence[Entry], by: Threat, lowest: dict[Measured, Standing]) -> list[Entry]:
    """Each network under each policy once."""
    same: dict[Network, list[Entry]] = {}
    for entry in entries:
        same.setdefault(_network(entry), []).append(entry)
    once = [_strongest(reports, by, lowest) for reports in same.values()]
    return [
        entry.model_copy(update={"rank": 1 + sum(_robust(e, by) > _robust(entry, by) for e in once)})
        for entry in sorted(once, key=lambda e: (-_robust(e, by), e.model, e.gate_policy))
    ]


def _robust(entry: Entry, by: Threat) -> float:
    standing = entry.at(by)
    assert standing is not None
    return _value(standing)


def _strongest(reports: Sequence[Entry], by: Threat, lowest: dict[Measured, Standing]) -> Entry:
    """One network as several reports have it, first the one where its robust accuracy at `by` is lowest."""
    first, *others = sorted(reports, key=lambda e: (_robust(e, by), e.created, e.report))
    network, met = _network(first), _attacks(first, by)
    # Under other attacks than those that rank it, it could not be compared with its neighbours.
    standings = [found for (of, _, attacks), found in lowest.items() if (of, attacks) == (network, met)]
    here = next(standing for standing in standings if standing.threat == by)
    elsewhere = [found for (of, threat, _), found in lowest.items() if (of, threat) == (network, by)]
    least = min(elsewhere, key=_value)
    return first.model_copy(
        update={
            "standings": standings,
            "checks": _worst_checks([entry.checks for entry in reports]),
            "also": [entry.report for entry in others],
            "lower": least if _value(least) < _value(here) else None,
        }
    )


def _worst_checks(told: Sequence[str]) -> str:
    """A check that failed in one report is not made good by another report."""
    failed = [one for one in told if one not in {NOT_CHECKED, NONE_FAILED}]
    return failed[0] if failed else NONE_FAILED if NONE_FAILED in told else NOT_CHECKED


def _threats(entries: Sequence[Entry]) -> list[Threat]:
    """Every threat once, by norm and then by size."""
    found = dict.fromkeys(one.threat for entry in entries for one in entry.standings)
    return sorted(found, key=lambda threat: threat.rank)


def _most_shared_first(entries: Sequence[Entry]) -> list[Threat]:
    """Every threat once: first those at which most reports have a union, and then as in `_threats`."""
    reports = {(entry.report, one.threat) for entry in entries for one in entry.standings}
    count = Counter(threat for _, threat in reports)
    return sorted(_threats(entries), key=lambda threat: -count[threat])


def _check_known(by: Threat | None, entries: Sequence[Entry]) -> None:
    threats = _threats(entries)
    if by and by not in threats:
        known = ", ".join(f"{threat.norm}:{threat.eps}" for threat in threats) or "none"
        raise InputError(f"--by {by.norm}:{by.eps}: no report has a worst case there; known: {known}")
