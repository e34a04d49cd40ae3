"""The cards of the first screen: a question, its answers, and one small picture over ε."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from robustbench_aig.policy_traits import PLAIN
from robustbench_aig.records import QUESTIONS, Answer, Compute, Evaluation, Plan, QuestionName, Report
from robustbench_aig.reporting.answers.gates_answer import most_moved
from robustbench_aig.reporting.curves import DASHES
from robustbench_aig.reporting.eps_curves import Line, Point, over_eps
from robustbench_aig.reporting.series import first_norm
from robustbench_aig.reporting.words import accuracy_text, bracket, gates_text, percent, threat_text
from robustbench_aig.threat import Threat

PLAIN_COLOUR, GATED_COLOUR, NOISE_COLOUR = "var(--s0)", "var(--s1)", "var(--s5)"

Band = tuple[float, float, float]
"""A value and the ends of its interval."""

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
        axis: what the picture shows over ε.
        title: of the picture.
        picture: as SVG; None where nothing was measured.
        lines: what is drawn in it, for the legend.
    """

    asked: str
    answers: list[Answer]
    axis: str
    title: str
    picture: str | None
    lines: list[Line]


def cards(report: Report, plan: Plan) -> list[Card]:
    """Of the first gated recipe, in the order of the questions."""
    found = []
    for question in QUESTIONS:
        answers = [one for one in report.first_answers if one.question == question]
        lines = [line for line in _LINES[question](report, plan, answers) if len(line.points) > 1]
        axis = _AXES[question]
        picture = over_eps(lines, axis) if lines else None
        found.append(Card(answers[0].asked, answers, axis, f"{axis.capitalize()} over ε", picture, lines))
    return found


def _accuracy(report: Report, _: Plan, answers: Sequence[Answer]) -> list[Line]:
    """Plain networks, and gated ones under each policy: their mean, between the lowest and the highest seed."""
    plain = [_accuracies(report, "plain", PLAIN_COLOUR, 0, answers[0].plain, PLAIN)] if answers[0].plain else []
    return plain + [
        _accuracies(report, gates_text(one.gate_policy), GATED_COLOUR, place, one.gated, one.gate_policy)
        for place, one in enumerate(answers)
    ]


def _accuracies(report: Report, name: str, colour: str, place: int, models: Sequence[str], policy: str) -> Line:
    points = []
    for threat in [None, *first_norm(report)]:
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
    return Line(name, colour, DASHES[place % len(DASHES)], points)


def _compute(report: Report, plan: Plan, answers: Sequence[Answer]) -> list[Line]:
    """The most that any attack recovers at each ε, and what noise does."""
    raising = {e.id for e in plan.evaluations if e.raises_compute}

    def strongest(evaluations: Sequence[Evaluation]) -> Band | None:
        known = [e.compute for e in evaluations if e.id in raising and e.status == "ok"]
        bands = [band for compute in known if (band := _recovered(compute))]
        return max(bands, default=None)

    def noise(e: Evaluation) -> Band | None:
        return _recovered(e.compute) if e.status == "ok" else None

    return _beside_noise(report, plan, answers, strongest, noise)


def _recovered(of: Compute | None) -> Band | None:
    if of is None or of.recovered is None:
        return None
    low, high = (of.recovered if end is None else end for end in (of.recovered_low, of.recovered_high))
    return of.recovered, low, high


def _flips(report: Report, plan: Plan, answers: Sequence[Answer]) -> list[Line]:
    """The decisions that the attack changes which changes most at each ε, and those that noise changes."""

    def changed(e: Evaluation | None) -> Band | None:
        gates = e.gates if e and e.status == "ok" else None
        if gates is None:
            return None
        low, high = (gates.flip_rate if end is None else end for end in (gates.flip_low, gates.flip_high))
        return gates.flip_rate, low, high

    return _beside_noise(report, plan, answers, lambda evaluations: changed(most_moved(evaluations)), changed)


def _beside_noise(
    report: Report,
    plan: Plan,
    answers: Sequence[Answer],
    strongest: Callable[[Sequence[Evaluation]], Band | None],
    noise: Callable[[Evaluation], Band | None],
) -> list[Line]:
    """Two lines for each policy, of what attacks do and of what random-sign noise does; none without attacks."""
    control = {e.id for e in plan.evaluations if e.algorithm == "corners"}

    def of_noise(evaluations: Sequence[Evaluation]) -> Band | None:
        return next((noise(e) for e in evaluations if e.id in control), None)

    attacked = [
        _line(report, one, gates_text(one.gate_policy), GATED_COLOUR, place, strongest)
        for place, one in enumerate(answers)
    ]
    several = len(answers) > 1
    names = [f"noise, {gates_text(one.gate_policy)}" if several else "noise" for one in answers]
    beside = [_line(report, one, names[place], NOISE_COLOUR, place, of_noise) for place, one in enumerate(answers)]
    return [*attacked, *beside] if any(len(line.points) > 1 for line in attacked) else []


def _line(
    report: Report,
    of: Answer,
    name: str,
    colour: str,
    place: int,
    measure: Callable[[Sequence[Evaluation]], Band | None],
) -> Line:
    """What each network shows at every ε: the mean, and from the lowest end to the highest."""
    points = [_point(None, 0.0, 0.0, 0.0, f"{name}, clean: nothing is attacked")]
    for threat in first_norm(report):
        at = [e for e in report.evaluations if (e.gate_policy, e.threat) == (of.gate_policy, threat)]
        each = [measure([e for e in at if e.model == model]) for model in of.gated]
        bands = [band for band in each if band is not None]
        if len(bands) == len(of.gated):
            value = sum(one[0] for one in bands) / len(bands)
            low, high = min(one[1] for one in bands), max(one[2] for one in bands)
            said = f"{name}, {threat_text(threat)}: {percent(value)} {bracket(low, high)}"
            points.append(_point(threat, value, low, high, said))
    return Line(name, colour, DASHES[place % len(DASHES)], points)


def _point(threat: Threat | None, value: float, low: float, high: float, says: str) -> Point:
    return Point(0.0 if threat is None else threat.value, "0" if threat is None else threat.eps, value, low, high, says)


_LINES = {"more-robust": _accuracy, "slower": _compute, "gates": _flips}
