"""Networks that differ in their training seed alone: one line in charts and one column in tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustbench_aig.policy_traits import PLAIN
from robustbench_aig.records import Report
from robustbench_aig.reporting.claims.groups import alike
from robustbench_aig.reporting.series import Series, accuracy_of
from robustbench_aig.reporting.words import accuracy_text, percent
from robustbench_aig.threat import Threat


class SeedSeries(NamedTuple):
    """Networks of one recipe under one gate policy.

    Attributes:
        look: the first of them, for colour, shape and dash.
        members: one for each training seed.
        label: how tables and charts call them.
    """

    look: Series
    members: list[Series]
    label: str

    @property
    def several(self) -> bool:
        """Whether there is a spread over seeds."""
        return len(self.members) > 1


class Measured(NamedTuple):
    """An accuracy with its interval over images, or the mean over seeds from the lowest to the highest of them."""

    value: float
    low: float
    high: float
    several: bool
    failed: bool
    told: str


def by_seed(report: Report, series: Sequence[Series]) -> list[SeedSeries]:
    """Series whose networks differ in the seed alone, together; a ladder's stay apart. In the order of the series."""
    kinds = {model.name: place for place, same in enumerate(alike(report.models)) for model in same}
    found: dict[tuple[object, ...], list[Series]] = {}
    for one in series:
        found.setdefault((one.rung or kinds[one.model], one.policy, one.rung), []).append(one)
    groups = list(found.values())
    recipes = {model.name: model.recipe for model in report.models}
    return [
        SeedSeries(members[0]._replace(place=place), members, _label(members, groups, recipes))
        for place, members in enumerate(groups)
    ]


def _label(members: Sequence[Series], groups: Sequence[Sequence[Series]], recipes: dict[str, str]) -> str:
    """`gated · argmax, 3 seeds`; by the recipe where there are others of the family."""
    first = members[0]
    if len(members) == 1:
        return first.label
    of_family = {recipes[one.model] for same in groups for one in same if one.family == first.family}
    name = first.family if len(of_family) == 1 else recipes[first.model]
    return f"{name if first.policy == PLAIN else f'{name} · {first.policy}'}, {len(members)} seeds"


def measured(report: Report, of: SeedSeries, attack: str, threat: Threat | None) -> Measured | None:
    """What networks keep under an attack, as `accuracy_of` finds it; None where it isn't known of all of them."""
    found = [accuracy_of(report, one, attack, threat) for one in of.members]
    known = [one for one in found if one is not None]
    if not known or len(known) < len(found):
        return None
    failed = any(status == "error" for _, status in known)
    values = [accuracy.value for accuracy, _ in known]
    mean = sum(values) / len(values)
    if not of.several:
        accuracy = known[0][0]
        low, high, told = accuracy.low, accuracy.high, accuracy_text(accuracy)
    else:
        low, high = min(values), max(values)
        told = f"{percent(mean)}, {percent(low)} to {percent(high)} over {len(values)} seeds"
    return Measured(mean, low, high, several=of.several, failed=failed, told=told)
