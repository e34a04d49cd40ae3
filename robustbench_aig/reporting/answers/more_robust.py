"""Is the gated network more robust?"""

from __future__ import annotations

from robustbench_aig.records import Answer, AnswerVerdict, Claim, ClaimVerdict, Comparison, Measurement
from robustbench_aig.reporting.answers.next_commands import attack_command
from robustbench_aig.reporting.answers.subject import Number, Subject
from robustbench_aig.reporting.claims.verdicts import combine
from robustbench_aig.reporting.words import SAME, differs, signed, threat_text
from robustbench_aig.threat import Threat

_CLAIMS = ("more-robust", "adds-to-jpeg")
"""That answer it: of undefended networks, and of those behind a defence."""

_LEFT = 0.1
"""Share of its clean accuracy below which a plain network has lost too much to be compared."""

_VERDICTS: dict[ClaimVerdict, AnswerVerdict] = {
    "supported": "yes",
    "unsupported": "no",
    "explained by randomness": "explained by randomness",
    "explained by masking": "explained by masking",
}
_TOLD: dict[AnswerVerdict, str] = {
    "explained by randomness": "Only by the randomness of its gates",
    "explained by masking": "Only under FGSM: a masked gradient",
}


def more_robust(of: Subject) -> Answer:
    """By the claim, where its strengths were measured; else by the difference at one strength, which is no verdict."""
    claims = (c for c in of.report.claims if c.id in _CLAIMS and (c.gated, c.gate_policy) == (of.gated, of.policy))
    claim = next(claims, None)
    if claim:
        return _by_claim(of, claim)
    compared = _compared(of)
    if compared:
        return _unjudged(of, compared)
    reason = "its accuracy was not attacked" if of.plain else "there is no plain network here to compare with"
    return of.answer(
        "more-robust", "not measured", "Not measured", reason, command=attack_command(of, "quick") if of.plain else None
    )


def _by_claim(of: Subject, claim: Claim) -> Answer:
    one = combine(claim.measurements)
    apart = differs(one.low, one.high)
    verdict = _VERDICTS.get(claim.verdict, "inconclusive")
    if verdict == "no" and not apart:
        verdict = "not significantly different"
    number = Number(one.what, one.threat, one.value, one.low, one.high, one.n, of.attacked_at(one.threat))
    return of.answer("more-robust", verdict, _told(verdict, one, apart=apart), claim.reason, number)


def _told(verdict: AnswerVerdict, one: Measurement, *, apart: bool) -> str:
    match verdict:
        case "yes":
            return "Yes"
        case "no":
            return "No, it is less robust" if one.value < 0 else "No, not by as much as claimed"
        case "not significantly different":
            return f"No: {SAME}"
        case "inconclusive":
            lower = "Not shown: it is less robust on these images" if one.value < 0 else "Not shown"
            return lower if apart else f"Not shown: {SAME}"
        case _:
            return _TOLD[verdict]


def _unjudged(of: Subject, one: Comparison) -> Answer:
    apart = differs(one.low, one.high)
    verdict: AnswerVerdict = "inconclusive" if apart else "not significantly different"
    told = "Not judged" if apart else f"Not shown: {SAME}"
    reason = f"at {threat_text(one.threat)} {signed(one.difference)} points: no claim is judged at this budget"
    what = "gated − plain, worst case over attacks"
    number = Number(what, one.threat, one.difference, one.low, one.high, one.n, of.attacked_at(one.threat))
    return of.answer("more-robust", verdict, told, reason, number)


def _compared(of: Subject) -> Comparison | None:
    """Of the first pair: at the largest strength that leaves the plain network a tenth of its clean accuracy."""
    pair = next(iter(of.group.pairs), None)
    if pair is None:
        return None
    names = (pair[0].name, of.policy, pair[1].name)
    mine = [
        one
        for one in of.report.comparisons
        if one.attack == "union" and one.threat and (one.gated, one.gate_policy, one.plain) == names
    ]
    left = [one for one in mine if one.threat and _left(of, pair[1].name, one.threat) >= _LEFT] or mine[:1]
    return max(left, key=lambda one: one.threat.value if one.threat else 0.0, default=None)


def _left(of: Subject, plain: str, threat: Threat) -> float:
    """Share of its clean accuracy that a plain network has in the worst case over attacks."""
    clean = (e.clean_accuracy.value for e in of.report.evaluations if (e.model, e.role) == (plain, "clean"))
    worst = (w.accuracy.value for w in of.report.worst_case if (w.model, w.threat) == (plain, threat))
    return next(worst, 0.0) / (next(clean, 0.0) or 1.0)
