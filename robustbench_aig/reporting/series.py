"""What a reader compares: models under their policies, with one look each, and the attacks they went through."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from robustbench_aig.records import Accuracy, Evaluation, Report, ThreatRecord

COLOURS = 7
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_GLYPHS = "●■▲◆✚▼"
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4], [4, 1])


class Series(NamedTuple):
    """A model under one gate policy.

    Attributes:
        place: position, which decides colour, shape and dash.
        model, policy: as in the plan.
        gated: whether the model has gates.
        alone: whether it is the only model of its family, so that the family's name says enough.
    """

    place: int
    model: str
    policy: str
    gated: bool
    alone: bool

    @property
    def label(self) -> str:
        """How tables and charts call it: `gated · argmax`, `plain`, or with the model's name."""
        name = ("gated" if self.gated else "plain") if self.alone else self.model
        return f"{name} · {self.policy}" if self.gated else name

    @property
    def phrase(self) -> str:
        """How a sentence calls it."""
        name = f"the {'gated' if self.gated else 'plain'} model" if self.alone else self.model
        return f"{name} ({self.policy} gates)" if self.gated else name

    @property
    def colour(self) -> str:
        """A variable of the page's style sheet, so that it follows the colour scheme."""
        return f"var(--s{self.place % COLOURS})"

    @property
    def shape(self) -> str:
        """Mark shape, so that colour is never the only difference."""
        return _SHAPES[self.place % len(_SHAPES)]

    @property
    def glyph(self) -> str:
        """The mark shape as a character, for legends in text."""
        return _GLYPHS[self.place % len(_GLYPHS)]

    @property
    def dash(self) -> list[int]:
        """Line dash, for the same reason."""
        return _DASHES[self.place % len(_DASHES)]


def all_series(report: Report) -> list[Series]:
    """Every (model, policy) that was measured; plain ones first, then in the report's order."""
    family = {model.name: model.family for model in report.models}
    seen = dict.fromkeys((e.model, e.gate_policy) for e in report.evaluations)
    ordered = sorted(seen, key=lambda pair: family[pair[0]] == "gated")
    sizes = Counter(family[model] for model in {model for model, _ in ordered})
    return [
        Series(place, model, policy, gated=family[model] == "gated", alone=sizes[family[model]] == 1)
        for place, (model, policy) in enumerate(ordered)
    ]


def threats(report: Report) -> list[ThreatRecord]:
    """Every threat, by norm and then by size."""
    found = {e.threat for e in report.evaluations if e.threat is not None}
    return sorted(found, key=lambda threat: (threat.norm != "linf", threat.value, threat.eps))


def attacks(report: Report) -> list[str]:
    """Names of the attacks, then of the controls."""
    roles = {e.attack: e.role for e in report.evaluations if e.role != "clean"}
    return sorted(roles, key=lambda attack: roles[attack] == "control")


def accuracy_of(
    report: Report, series: Series, attack: str, threat: ThreatRecord | None
) -> tuple[Accuracy, str] | None:
    """(accuracy, status) of a series under an attack; "union" is an attack; without a threat it is clean."""
    mine = (series.model, series.policy)
    if attack == "union" and threat is not None:
        for worst in report.worst_case:
            if (worst.model, worst.gate_policy) == mine and worst.threat == threat:
                return worst.accuracy, worst.status
        return None
    for e in report.evaluations:
        clean = threat is None and e.role == "clean"
        if (e.model, e.gate_policy) == mine and (clean or (e.attack, e.threat) == (attack, threat)):
            return e.robust_accuracy, e.status
    return None


def headline(report: Report, series: Series) -> Evaluation | None:
    """The attack at the largest epsilon (of the first norm) that cost a series most; None if none finished.

    An attack that failed on some images is taken only where no other is there.
    """
    mine = [
        e
        for e in report.evaluations
        if (e.model, e.gate_policy, e.role) == (series.model, series.policy, "attack") and e.threat
    ]
    order = threats(report)
    first = [e for e in mine if e.threat and e.threat.norm == order[0].norm]
    return min(
        first or mine,
        key=lambda e: (
            e.status == "error",
            -order.index(e.threat) if e.threat else 0,
            e.robust_accuracy.value,
        ),
        default=None,
    )
