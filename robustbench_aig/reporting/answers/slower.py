"""Can an attacker make it slower?"""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_aig.records import Answer, AnswerVerdict, Latency
from robustbench_aig.reporting.answers.asked_networks import AskedNetworks, Number, hull
from robustbench_aig.reporting.answers.next_commands import attack_command
from robustbench_aig.reporting.raised_compute import Raised, raised
from robustbench_aig.reporting.words import attack_text, bracket, listing, number, percent
from robustbench_aig.threat import Threat

_HARDLY = 0.05
"""Recovered compute below which an attack hardly matters."""


def slower(of: AskedNetworks) -> Answer:
    """By the attack that raises the compute of each network most, at the largest ε that all of them have met."""
    if any(model.total_macs is None for model in of.group.gated):
        return of.answer("slower", "not measured", "Not measured", "the compute of these networks is not known")
    found = next(filter(None, (_raised(of, threat) for threat in reversed(of.threats))), [])
    if not found:
        reason = "no attack was on the compute of these networks"
        return of.answer("slower", "not measured", "Not measured", reason, command=attack_command(of, "compute"))
    if any(one.most.status != "ok" for one in found):
        return of.answer("slower", "inconclusive", "Not known: images failed", "an attack failed on some images")
    skipping = [one for one in found if one.compute.recovered is not None]
    if not skipping:
        reason = "these networks execute all of their blocks on clean images, so nothing can be recovered"
        return of.answer("slower", "no", "No: nothing is skipped", reason)
    measured = _measured(skipping)
    verdict, told = _verdict(skipping, measured)
    rest = [one.most.model for one in found if one.compute.recovered is None]
    beside = f"; {listing(rest)}: nothing is skipped on clean images" if rest else ""
    return of.answer("slower", verdict, told, f"{_reason(skipping, measured)}{beside}", measured)


def _raised(of: AskedNetworks, threat: Threat) -> list[Raised]:
    """Of each network, in their order; none where one has not finished an attack on the compute at that strength."""
    each = [raised([e for e in of.evaluations if e.model == name], of.planned, threat) for name in of.gated]
    met = [one for one in each if one]
    return met if len(met) == len(each) else []


def _measured(found: Sequence[Raised]) -> Number:
    low, high = hull((one.compute.recovered_low, one.compute.recovered_high) for one in found)
    noises = [one.noise.compute.recovered for one in found if one.noise and one.noise.compute]
    seen = [one for one in noises if one is not None]
    return Number(
        "recovered compute: share of what is skipped on clean images",
        found[0].most.threat,
        sum(one.compute.recovered or 0.0 for one in found) / len(found),
        low,
        high,
        found[0].most.n,
        [e.id for one in found for e in (one.most, one.noise) if e],
        sum(seen) / len(seen) if len(seen) == len(found) else None,
    )


def _verdict(found: Sequence[Raised], of: Number) -> tuple[AnswerVerdict, str]:
    """Beyond noise on the same images; a maximum over attacks never shows that no attack can."""
    beyond = [one.compute.beyond_noise for one in found]
    if of.high is not None and of.high < _HARDLY:
        return "hardly", "Hardly, by these attacks"
    if of.low is None or None in beyond:
        return "inconclusive", "Not known: " + ("no noise control" if of.noise is None else "measured by earlier rules")
    if all(one.low > 0 for one in beyond if one):
        return "yes", f"Yes{_slowdown(found)}"
    return "inconclusive", "Inconclusive: not beyond random noise"


def _slowdown(found: Sequence[Raised]) -> str:
    """By how much, by the clock, where that was measured."""
    clocks = _clocks(found)
    if not clocks:
        return ", in operations"
    ratio = sum(one.ratio for one in clocks) / len(clocks)
    longer = all(one.low > 1 for one in clocks)
    return f": {number(ratio, 2)} times as long" if longer else ", in operations; hardly by the clock"


def _clocks(found: Sequence[Raised]) -> list[Latency]:
    return [one.compute.latency for one in found if one.compute.latency]


def _reason(found: Sequence[Raised], of: Number) -> str:
    """How much, by which attack, and by the clock."""
    by = listing([*dict.fromkeys(attack_text(one.most.attack) for one in found)])
    interval = "" if of.low is None or of.high is None else f" {bracket(of.low, of.high)}"
    noise = "no noise control was run" if of.noise is None else f"random-sign noise recovers {percent(of.noise)}"
    start = f"{by} recovers {percent(of.value)}{interval} of the compute that is skipped on clean images; {noise}"
    clocks = _clocks(found)
    if not clocks:
        return f"{start}; the time was not measured"
    ratio = sum(one.ratio for one in clocks) / len(clocks)
    low, high = min(one.low for one in clocks), max(one.high for one in clocks)
    times = f"{number(ratio, 2)} [{number(low, 2)}, {number(high, 2)}] times as long"
    return f"{start}; by the clock, attacked images take {times}"
