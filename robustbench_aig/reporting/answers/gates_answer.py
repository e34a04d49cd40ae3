"""Do the gates look at the image, and do they move under attack?"""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_aig.records import Answer, AnswerVerdict, Dependence, Evaluation
from robustbench_aig.reporting.answers.asked_networks import AskedNetworks, Number, hull
from robustbench_aig.reporting.answers.next_commands import attack_command
from robustbench_aig.reporting.words import attack_text, bracket, listing, percent, threat_text


def gates_look(of: AskedNetworks) -> Answer:
    """Whether they look, by clean images; how they move, by the attack that changes most decisions at the largest ε."""
    clean = [e.gates.dependence for e in of.evaluations if e.role == "clean" and e.gates]
    known = [one for one in clean if one]
    verdict, told = _looking(known) if len(known) == len(of.gated) else ("not measured", "Not known whether they look")
    moved = _most_moved(of)
    if not moved:
        reason = f"{_explained(known)}no attack has moved them yet"
        return of.answer("gates", verdict, told, reason, command=attack_command(of, "quick"))
    number = _flips(moved)
    return of.answer("gates", verdict, told, f"{_explained(known)}{_moving(moved, number)}", number)


def _moving(moved: Sequence[Evaluation], number: Number) -> str:
    """How many decisions an attack changes, beside noise."""
    by = listing([*dict.fromkeys(attack_text(e.attack) for e in moved)])
    noise = "no noise control was run" if number.noise is None else f"random-sign noise changes {percent(number.noise)}"
    interval = "" if number.low is None or number.high is None else f" {bracket(number.low, number.high)}"
    over = f" on the {number.n} images that it ran on" if any(e.skipped for e in moved) else ""
    at = threat_text(number.threat)
    return f"at {at}, {by} changes {percent(number.value)}{interval} of their decisions{over}; {noise}"


def _looking(known: Sequence[Dependence]) -> tuple[AnswerVerdict, str]:
    counts = [str(one.deciding) for one in known]
    told = f"{listing(list(dict.fromkeys(counts)))} of {len(known[0].gates)} gates decide by the image"
    unclear = max(one.unclear for one in known)
    if unclear:
        told += f", {unclear} undecided"
    looks = {one.looks for one in known}
    if looks == {True}:
        return "yes", told
    return ("hardly", f"Hardly: {told}") if looks == {False} else ("inconclusive", told)


def _explained(known: Sequence[Dependence]) -> str:
    """What the image explains of decisions that noise could decide, too."""
    shares = [one.explained for one in known if one.explained and one.explained.low < 1]
    if not shares or len(shares) < len(known):
        return ""
    value = sum(one.value for one in shares) / len(shares)
    low, high = min(one.low for one in shares), max(one.high for one in shares)
    return f"the image explains {percent(value)} {bracket(low, high)} of the variance of all decisions; "


def _most_moved(of: AskedNetworks) -> list[Evaluation]:
    """Of each network, in their order, at the largest ε that all of them have met; none where there is none."""
    for threat in reversed(of.threats):
        each = [most_moved([e for e in of.evaluations if (e.model, e.threat) == (name, threat)]) for name in of.gated]
        found = [e for e in each if e]
        if len(found) == len(of.gated):
            return found
    return []


def most_moved(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The attack that changes most decisions; in a cascade that which saw most images. None where none is whole."""
    attacks = [e for e in evaluations if e.role in {"attack", "compute"} and e.status == "ok" and e.gates]
    return max(attacks, key=lambda e: (-e.skipped, e.gates.flip_rate if e.gates else 0.0), default=None)


def _flips(moved: Sequence[Evaluation]) -> Number:
    gates = [e.gates for e in moved if e.gates]
    low, high = hull((one.flip_low, one.flip_high) for one in gates)
    noises = [one.noise_flip_rate for one in gates if one.noise_flip_rate is not None]
    return Number(
        "gate decisions changed, of all",
        moved[0].threat,
        sum(one.flip_rate for one in gates) / len(gates),
        low,
        high,
        min(e.n - e.skipped for e in moved),
        [e.id for e in moved],
        sum(noises) / len(noises) if len(noises) == len(gates) else None,
    )
