"""Can an attacker make it slower?"""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_aig.records import Answer, AnswerVerdict, Compute
from robustbench_aig.reporting.answers.next_commands import attack_command
from robustbench_aig.reporting.answers.subject import Number, Subject
from robustbench_aig.reporting.compute_verdict import Forced, forced
from robustbench_aig.reporting.series import all_series
from robustbench_aig.reporting.words import attack_text, bracket, listing, number, percent

_HARDLY = 0.05
"""Recovered compute below which an attack hardly matters."""


def slower(of: Subject) -> Answer:
    """By the attack that raises the compute of each network most, at the largest ε."""
    series = [one for one in all_series(of.report) if one.model in of.gated and one.policy == of.policy]
    found = forced(of.report, of.plan, series)
    if len(found) < len(of.gated):
        return of.answer(
            "slower",
            "not measured",
            "Not measured",
            "no attack was on the compute of these networks",
            command=attack_command(of, "compute"),
        )
    computes = [one.most.compute for one in found]
    whole = [one for one in computes if one and one.recovered is not None]
    if any(one.most.status != "ok" for one in found) or len(whole) < len(computes):
        failed = any(one.most.status != "ok" for one in found)
        reason = "images failed" if failed else "these networks execute all of their blocks on clean images"
        return of.answer("slower", "inconclusive" if failed else "no", "Not shown" if failed else "No", reason)
    measured = _measured(found, whole)
    verdict, told = _verdict(measured)
    return of.answer("slower", verdict, told, _reason(found, measured), measured)


def _measured(found: Sequence[Forced], computes: Sequence[Compute]) -> Number:
    lows, highs = ([getattr(one, side) for one in computes] for side in ("recovered_low", "recovered_high"))
    known = None not in lows
    noises = [one.noise.compute.recovered for one in found if one.noise and one.noise.compute]
    seen = [one for one in noises if one is not None]
    return Number(
        "recovered compute: share of what is skipped on clean images",
        found[0].most.threat,
        sum(one.recovered or 0.0 for one in computes) / len(computes),
        min(lows) if known else None,
        max(highs) if known else None,
        found[0].most.n,
        [e.id for one in found for e in (one.most, one.noise) if e],
        sum(seen) / len(seen) if len(seen) == len(found) else None,
    )


def _verdict(of: Number) -> tuple[AnswerVerdict, str]:
    """A maximum over attacks: none of them shows that no attack can."""
    if of.low is None or of.high is None:
        return "inconclusive", "Not judged by the rules of today"
    if of.high < _HARDLY:
        return "hardly", "Hardly, by these attacks"
    if of.low <= 0:
        return "inconclusive", "Not shown by these attacks"
    if of.noise is not None and of.low <= of.noise:
        return "inconclusive", "No more than random noise does"
    return "yes", "Yes"


def _reason(found: Sequence[Forced], of: Number) -> str:
    """How much, by which attack, and by the clock."""
    by = listing([*dict.fromkeys(attack_text(one.most.attack) for one in found)])
    interval = "" if of.low is None or of.high is None else f" {bracket(of.low, of.high)}"
    noise = "no noise control was run" if of.noise is None else f"random-sign noise recovers {percent(of.noise)}"
    start = f"{by} recovers {percent(of.value)}{interval} of the compute that is skipped on clean images; {noise}"
    clocks = [one.most.compute.latency for one in found if one.most.compute and one.most.compute.latency]
    if not clocks:
        return f"{start}; the time was not measured"
    ratio = sum(one.ratio for one in clocks) / len(clocks)
    low, high = min(one.low for one in clocks), max(one.high for one in clocks)
    times = f"{number(ratio, 2)} [{number(low, 2)}, {number(high, 2)}] times as long"
    return f"{start}; by the clock, attacked images take {times}"
