"""The cards of the first screen: a question, its answers, and one small picture over ε."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

from robustbench_aig.policy_traits import DETERMINISTIC
from robustbench_aig.records import Answer, Evaluation, Plan, QuestionName, Report
from robustbench_aig.reporting.eps_curves import Line, Point, over_eps
from robustbench_aig.reporting.words import accuracy_text, attack_text, bracket, gates_text, percent, threat_text
from robustbench_aig.threat import Threat

PLAIN_COLOUR, GATED_COLOUR, NOISE_COLOUR = "var(--s0)", "var(--s1)", "var(--soft)"
_SOLID, _DASHED, _DOTTED = [1, 0], [6, 3], [2, 2]

_AXES: dict[QuestionName, str] = {
    "more-robust": "worst-case accuracy",
    "slower": "recovered compute",
    "gates": "decisions changed",
}


class Card(NamedTuple):
    """One question.

    Attributes:
        asked: in words.
        answers: one for each gate policy, of the first gated recipe.
        title: of the picture.
        picture: as SVG; None where nothing was measured.
        lines: what is drawn in it, for the legend.
    """

    asked: str
    answers: list[Answer]
    title: str
    picture: str | None
    lines: list[Line]


def cards(report: Report, plan: Plan) -> list[Card]:
    """Of the first gated recipe, in the order of the questions."""
    mine = [one for one in report.answers if one.gated == report.answers[0].gated]
    order = {"more-robust": 0, "slower": 1, "gates": 2}
    found = []
    for question, several in groupby(sorted(mine, key=lambda one: order[one.question]), key=lambda one: one.question):
        answers = list(several)
        lines = [line for line in _LINES[question](report, plan, answers) if len(line.points) > 1]
        picture = over_eps(lines, _AXES[question]) if lines else None
        found.append(Card(answers[0].asked, answers, f"{_AXES[question].capitalize()} over ε", picture, lines))
    return found


def _accuracy(report: Report, _: Plan, answers: Sequence[Answer]) -> list[Line]:
    """Plain networks, and gated ones under each policy: their mean, between the lowest and the highest seed."""
    plain = [_accuracies(report, "plain", PLAIN_COLOUR, _SOLID, answers[0].plain, "none")] if answers[0].plain else []
    return plain + [
        _accuracies(report, gates_text(one.gate_policy), GATED_COLOUR, _dash(one), one.gated, one.gate_policy)
        for one in answers
    ]


def _accuracies(report: Report, name: str, colour: str, dash: list[int], models: Sequence[str], policy: str) -> Line:
    points = []
    for threat in [None, *_threats(report)]:
        if threat is None:
            clean = (e for e in report.evaluations if e.role == "clean")
            found = [e.clean_accuracy for e in clean if e.model in models and e.gate_policy == policy]
        else:
            met = (w for w in report.worst_case if w.threat == threat and w.status == "ok")
            found = [w.accuracy for w in met if w.model in models and w.gate_policy == policy]
        if len(found) == len(models):
            values = [one.value for one in found]
            mean = sum(values) / len(values)
            # One network has an interval over images; several have a spread.
            low, high = (found[0].low, found[0].high) if len(found) == 1 else (min(values), max(values))
            spread = f"{percent(mean)}, from {percent(low)} to {percent(high)} over {len(found)} seeds"
            said = accuracy_text(found[0]) if len(found) == 1 else spread
            points.append(_point(threat, mean, low, high, f"{name}, {threat_text(threat)}: {said}"))
    return Line(name, colour, dash, points)


def _compute(report: Report, plan: Plan, answers: Sequence[Answer]) -> list[Line]:
    """The most that any attack recovers at each ε, and what noise does."""
    planned = {e.id: e for e in plan.evaluations}

    def recovered(e: Evaluation) -> tuple[float, float, float] | None:
        known = e.compute if e.status == "ok" else None
        if known is None or known.recovered is None:
            return None
        low = known.recovered if known.recovered_low is None else known.recovered_low
        return known.recovered, low, known.recovered if known.recovered_high is None else known.recovered_high

    raising = [e for e in report.evaluations if planned[e.id].raises_compute]
    return _with_noise(report, plan, answers, raising, recovered)


def _flips(report: Report, plan: Plan, answers: Sequence[Answer]) -> list[Line]:
    """The most decisions that any attack changes at each ε, and what noise does."""

    def changed(e: Evaluation) -> tuple[float, float, float] | None:
        gates = e.gates
        if gates is None or e.skipped:
            return None
        low, high = (gates.flip_rate if end is None else end for end in (gates.flip_low, gates.flip_high))
        return gates.flip_rate, low, high

    attacks = [e for e in report.evaluations if e.role in {"attack", "compute"}]
    return _with_noise(report, plan, answers, attacks, changed)


Measure = Callable[[Evaluation], tuple[float, float, float] | None]


def _with_noise(
    report: Report, plan: Plan, answers: Sequence[Answer], attacks: Sequence[Evaluation], measure: Measure
) -> list[Line]:
    """A line for each policy, and one for random-sign noise under the first."""
    noise = {e.id for e in plan.evaluations if e.algorithm == "corners"}
    if not attacks:
        return []
    lines = [
        _strongest(one, gates_text(one.gate_policy), GATED_COLOUR, _dash(one), attacks, measure) for one in answers
    ]
    control = [e for e in report.evaluations if e.id in noise]
    lines.append(_strongest(answers[0], attack_text("corners"), NOISE_COLOUR, _DOTTED, control, measure))
    return lines


def _strongest(
    of: Answer, name: str, colour: str, dash: list[int], attacks: Sequence[Evaluation], measure: Measure
) -> Line:
    """Of each network its largest value at every ε, their mean, and from the lowest end to the highest."""
    mine = [e for e in attacks if e.gate_policy == of.gate_policy]
    points = [_point(None, 0.0, 0.0, 0.0, f"{name}, clean: nothing is attacked")]
    for threat in dict.fromkeys(e.threat for e in sorted(mine, key=_size)):
        each = [[measure(e) for e in mine if (e.model, e.threat) == (model, threat)] for model in of.gated]
        known = [[one for one in found if one is not None] for found in each]
        if all(known):
            best = [max(found) for found in known]
            value = sum(one[0] for one in best) / len(best)
            low, high = min(one[1] for one in best), max(one[2] for one in best)
            said = f"{name}, {threat_text(threat)}: {percent(value)} {bracket(low, high)}"
            points.append(_point(threat, value, low, high, said))
    return Line(name, colour, dash, points)


def _point(threat: Threat | None, value: float, low: float, high: float, says: str) -> Point:
    return Point(0.0 if threat is None else threat.value, "0" if threat is None else threat.eps, value, low, high, says)


def _dash(of: Answer) -> list[int]:
    """Deterministic gates are drawn solid, others dashed."""
    return _SOLID if of.gate_policy == DETERMINISTIC else _DASHED


def _threats(report: Report) -> list[Threat]:
    """Of the first norm, by size."""
    found = sorted({w.threat for w in report.worst_case}, key=lambda threat: threat.rank)
    return [threat for threat in found if threat.norm == found[0].norm]


def _size(e: Evaluation) -> tuple[str, float]:
    return (e.threat.norm, e.threat.value) if e.threat else ("", 0.0)


_LINES = {"more-robust": _accuracy, "slower": _compute, "gates": _flips}
