"""What a reader compares: models under their policies, with one look each, and the attacks they went through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from robustbench_aig.policy_traits import DETERMINISTIC, PLAIN, POLICIES, traits
from robustbench_aig.recipes import Family
from robustbench_aig.records import Accuracy, Evaluation, Report
from robustbench_aig.reporting.words import gates_text
from robustbench_aig.threat import Threat

COLOURS = 7
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_GLYPHS = "●■▲◆✚▼"
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4], [4, 1])


_COLOUR: dict[Family, int] = {"plain": 0, "gated": 1, "dynamic": 2, "stochastic": 3}
"""Networks with and without gates are told apart by colour wherever they are drawn."""


def family_colour(family: Family) -> str:
    """The variable of the page's style sheet that networks of a family are drawn in."""
    return f"var(--s{_COLOUR[family]})"


class Series(NamedTuple):
    """A model under one gate policy.

    Attributes:
        place: position, which decides the shape.
        model, policy: as in the plan.
        family: of the model.
        alone: whether it is the only model of its family, so that the family's name says enough.
        rung: of the ladder, as `R0`; None without a ladder.
    """

    place: int
    model: str
    policy: str
    family: Family
    alone: bool
    rung: str | None = None

    @property
    def gated(self) -> bool:
        """Whether the model's gates look at the image."""
        return self.family == "gated"

    @property
    def chooses(self) -> bool:
        """Whether an attack can change which blocks run: gates look at the image, and decide by what they see."""
        return can_be_misled(self.family, self.policy)

    @property
    def label(self) -> str:
        """How tables and charts call it: `gated · argmax`, `plain`, or with the model's name or its rung."""
        name = self.family if self.alone else self.model
        named = name if self.policy == "none" else f"{name} · {self.policy}"
        return f"{self.rung} {named}" if self.rung else named

    @property
    def phrase(self) -> str:
        """How a sentence calls it."""
        name = f"the {self.family} model" if self.alone else self.model
        return name if self.policy == "none" else f"{name} with {gates_text(self.policy)}"

    @property
    def colour(self) -> str:
        """A variable of the page's style sheet, so that it follows the colour scheme: of the family, or of the rung."""
        return f"var(--s{self.place % COLOURS})" if self.rung else family_colour(self.family)

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
        """Line dash: solid without gates and for deterministic ones, else of the policy; or of the rung."""
        if self.rung or self.policy in {PLAIN, DETERMINISTIC}:
            return _DASHES[self.place % len(_DASHES) if self.rung else 0]
        return _DASHES[1 + (list(POLICIES).index(self.policy) - 1) % (len(_DASHES) - 1)]


def can_be_misled(family: Family, policy: str) -> bool:
    """Whether an attack can change which blocks run, of a network of some family under a policy."""
    return family == "gated" and traits(policy).chooses


def all_series(report: Report) -> list[Series]:
    """Every (model, policy) that was measured; plain ones first and gated ones last, else in the report's order."""
    family = {model.name: model.family for model in report.models}
    seen = dict.fromkeys((e.model, e.gate_policy) for e in report.evaluations)
    ordered = sorted(seen, key=lambda pair: ("plain", "dynamic", "stochastic", "gated").index(family[pair[0]]))
    sizes = Counter(family[model] for model in {model for model, _ in ordered})
    rungs = {(rung.model, rung.policy): rung.key for rung in (report.ladder.rungs if report.ladder else [])}
    return [
        Series(place, model, policy, family[model], alone=sizes[family[model]] == 1, rung=rungs.get((model, policy)))
        for place, (model, policy) in enumerate(ordered)
    ]


def threats(report: Report) -> list[Threat]:
    """Every threat, by norm and then by size."""
    return _threats(report.evaluations)


def first_norm(report: Report) -> list[Threat]:
    """The threats of the first norm, by size."""
    found = threats(report)
    return [threat for threat in found if threat.norm == found[0].norm]


def _threats(evaluations: Sequence[Evaluation]) -> list[Threat]:
    found = {e.threat for e in evaluations if e.threat is not None}
    return sorted(found, key=lambda threat: threat.rank)


def attacks(report: Report) -> list[str]:
    """Names of the attacks, then of those on the compute, then of the controls."""
    roles = {e.attack: e.role for e in report.evaluations if e.threat is not None}
    return sorted(roles, key=lambda attack: ("attack", "compute", "control").index(roles[attack]))


def accuracy_of(report: Report, series: Series, attack: str, threat: Threat | None) -> tuple[Accuracy, str] | None:
    """(accuracy, status) of a series under an attack; "union" is an attack; without a threat it is clean.

    Without a threat, "corruptions" is the mean over all of them.
    None where the attack skipped images: its share of the others is no accuracy under this attack (`remainder_of`).
    """
    mine = (series.model, series.policy)
    if attack == "union" and threat is not None:
        for worst in report.worst_case:
            if (worst.model, worst.gate_policy) == mine and worst.threat == threat:
                return worst.accuracy, worst.status
        return None
    if attack == "corruptions" and threat is None:
        found = (m for m in report.corruptions if (m.model, m.gate_policy, m.name) == (*mine, None))
        return next(((mean.accuracy, mean.status) for mean in found), None)
    for e in report.evaluations:
        clean = threat is None and e.role == "clean"
        if (e.model, e.gate_policy) == mine and (clean or (e.attack, e.threat) == (attack, threat)):
            return None if e.skipped else (e.robust_accuracy, e.status)
    return None


class Remainder(NamedTuple):
    """An evaluation of a cascade that skipped images, and the attacks before it; none: only clean images."""

    evaluation: Evaluation
    before: list[str]


def remainder_of(report: Report, series: Series, attack: str, threat: Threat) -> Remainder | None:
    """What a series kept under an attack that skipped images; None where there is no such evaluation."""
    for e in report.evaluations:
        if (e.model, e.gate_policy, e.attack, e.threat) == (series.model, series.policy, attack, threat):
            return Remainder(e, before(report, e)) if e.skipped else None
    return None


def before(report: Report, evaluation: Evaluation) -> list[str]:
    """The attacks that the images of an evaluation went through before, in a cascade."""
    names = []
    for e in report.evaluations:
        if e.id == evaluation.id:
            break
        same = (e.model, e.gate_policy, e.threat) == (evaluation.model, evaluation.gate_policy, evaluation.threat)
        if same and e.role == "attack":
            names.append(e.attack)
    return names


def headline(evaluations: Sequence[Evaluation], model: str, policy: str) -> Evaluation | None:
    """The attack at the largest epsilon (of the first norm) that cost a network most; None if none finished.

    An attack that failed on some images is taken only where no other is there. In a cascade it's the one that saw most
    images, since the others' costs are those of the images that it left. Where no attack was on the accuracy, it's the
    one that raised the executed compute most.
    """
    of_series = [e for e in evaluations if (e.model, e.gate_policy) == (model, policy)]
    by_role = ([e for e in of_series if e.role == role and e.threat] for role in ("attack", "compute"))
    mine = next((found for found in by_role if found), [])
    order = _threats(evaluations)
    first = [e for e in mine if e.threat and e.threat.norm == order[0].norm]
    return min(
        first or mine,
        key=lambda e: (
            e.status == "error",
            -order.index(e.threat) if e.threat else 0,
            e.skipped,
            e.robust_accuracy.value if e.role == "attack" else -e.compute.change if e.compute else 0.0,
        ),
        default=None,
    )
