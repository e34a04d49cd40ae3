"""Is the gated network more robust?"""

from __future__ import annotations

from robustbench_aig.records import Answer, AnswerVerdict, Claim, ClaimVerdict, Comparison, Measurement
from robustbench_aig.reporting.answers.asked_networks import AskedNetworks, Number
from robustbench_aig.reporting.answers.next_commands import attack_command
from robustbench_aig.reporting.claims.verdicts import combine
from robustbench_aig.reporting.words import SAME, differs, signed, threat_text
from robustbench_aig.threat import Threat

_CLAIMS = ("more-robust", "adds-to-jpeg")
"""That answer it: of undefended networks, and of those behind a defence."""

_LEFT = 0.1
"""Share of its clean accuracy below which a plain network has lost too much to be compared."""

_VERDICTS: dict[ClaimVerdict, AnswerVerdict] = {
    "supported": "yes",
    "not refuted": "yes",
    "unsupported": "no",
    "explained by randomness": "explained by randomness",
    "explained by masking": "explained by masking",
}
_TOLD: dict[AnswerVerdict, str] = {
    "explained by randomness": "Only by the randomness of its gates",
    "explained by masking": "Only under FGSM: a masked gradient",
}


def more_robust(of: AskedNetworks) -> Answer:
    """By the claim, where its strengths were measured; else by the difference at one strength, which is no verdict."""
    claims = (c for c in of.report.claims if c.id in _CLAIMS and (c.gated, c.gate_policy) == (of.gated, of.policy))
    claim = next(claims, None)
    if claim:
        return _by_claim(of, claim)
    strength = _strength(of)
    if strength:
        return _unjudged(of, strength)
    if not of.plain:
        told = "Not measured: no plain network to compare with"
        way_out = "name a plain network beside it: a run, or another --model"
        return of.answer("more-robust", "not measured", told, way_out)
    reason = "its accuracy was not attacked"
    return of.answer("more-robust", "not measured", "Not measured", reason, command=attack_command(of, "quick"))


def _by_claim(of: AskedNetworks, claim: Claim) -> Answer:
    one = combine(claim.measurements)
    evaluations = of.attacked_at(one.threat)
    if any(e.errors for e in evaluations):
        return _failed(of)
    apart = differs(one.low, one.high)
    verdict = _VERDICTS.get(claim.verdict, "inconclusive")
    if verdict == "no" and not apart:
        verdict = "not significantly different"
    evidence = [e.id for e in evaluations]
    number = Number(one.what, one.threat, one.value, one.low, one.high, one.n, evidence)
    told = f"Yes: {claim.ruled}" if claim.verdict == "not refuted" else _told(verdict, one, apart=apart)
    return of.answer("more-robust", verdict, told, claim.reason, number)


def _failed(of: AskedNetworks) -> Answer:
    reason = "an attack failed on some images, so nothing is known about the networks"
    return of.answer("more-robust", "inconclusive", "Not known: images failed", reason)


def _told(verdict: AnswerVerdict, one: Measurement, *, apart: bool) -> str:
    match verdict:
        case "yes":
            return "Yes"
        case "no":
            return "No, it is less robust" if one.value < 0 else "No, not by as much as claimed"
        case "not significantly different":
            return f"No: {SAME}"
        case "inconclusive":
            return f"Inconclusive: {_seen(one.value) if apart else SAME}"
        case _:
            return _TOLD[verdict]


def _unjudged(of: AskedNetworks, threat: Threat) -> Answer:
    """The mean over the pairs of networks, from the lowest end of their intervals to the highest."""
    found = [c for c in _unions(of) if c.threat == threat]
    evaluations = of.attacked_at(threat)
    if any(e.errors for e in evaluations):
        return _failed(of)
    value = sum(one.difference for one in found) / len(found)
    low, high = min(one.low for one in found), max(one.high for one in found)
    apart = differs(low, high)
    verdict: AnswerVerdict = "inconclusive" if apart else "not significantly different"
    told = f"Not judged: {_seen(value) if apart else SAME}"
    reason = f"at {threat_text(threat)} {signed(value)} points: no claim is judged at this perturbation budget"
    evidence = [e.id for e in evaluations]
    number = Number("gated − plain, worst case over attacks", threat, value, low, high, found[0].n, evidence)
    return of.answer("more-robust", verdict, told, reason, number)


def _seen(value: float) -> str:
    return f"{'less' if value < 0 else 'more'} robust on these images"


def _unions(of: AskedNetworks) -> list[Comparison]:
    """Of each gated network with the plain one of its seed, in the worst case over attacks."""
    pairs = [(gated.name, of.policy, plain.name) for gated, plain in of.group.pairs]
    return [c for c in of.report.comparisons if c.attack == "union" and (c.gated, c.gate_policy, c.plain) in pairs]


def _strength(of: AskedNetworks) -> Threat | None:
    """The largest that all pairs have met and that leaves the first plain network a tenth of its clean accuracy."""
    met = [c.threat for c in _unions(of)]
    whole = [threat for threat in of.threats if met.count(threat) == len(of.group.pairs) > 0]
    left = [threat for threat in whole if _left(of, of.plain[0], threat) >= _LEFT]
    return left[-1] if left else next(iter(whole), None)


def _left(of: AskedNetworks, plain: str, threat: Threat) -> float:
    """Share of its clean accuracy that a plain network has in the worst case over attacks."""
    clean = (e.clean_accuracy.value for e in of.report.evaluations if (e.model, e.role) == (plain, "clean"))
    worst = (w.accuracy.value for w in of.report.worst_case if (w.model, w.threat) == (plain, threat))
    return next(worst, 0.0) / (next(clean, 0.0) or 1.0)
