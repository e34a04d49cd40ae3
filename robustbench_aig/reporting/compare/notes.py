"""In what two reports differ beside their numbers: what forbids a comparison, and what has to be said."""

from __future__ import annotations

from collections.abc import Mapping

from robustbench_aig.errors import InputError
from robustbench_aig.records import Plan, Report
from robustbench_aig.reporting.compare.report_pair import Side
from robustbench_aig.reporting.words import flatten, listing

_SETTINGS = ("seed", "draws", "chunk", "precision", "cascade")
"""Of a plan; the same under another one of these is another measurement of the same thing."""


def refuse_other_data(first: Side, second: Side) -> None:
    """InputError where the two are of different data, so that no number of one says anything of the other."""
    ours, theirs = first.report.data, second.report.data
    for name in ("name", "split", "shape", "classes", "available"):
        one, other = getattr(ours, name), getattr(theirs, name)
        if one != other:
            what = {"available": "size of the split"}.get(name, name)
            raise InputError(
                f"{first.path} and {second.path} are of different data ({what}: {_short(one)} and {_short(other)}): "
                "only reports on the same data set can be compared"
            )


def notes(first: Side, second: Side) -> list[str]:
    """A sentence for each thing in which the two differ."""
    ours, theirs = first.report, second.report
    found = [f"{side.path} is {side.report.status}" for side in (first, second) if side.report.status != "complete"]
    found += _weights(ours, theirs) + _attacks(ours, theirs)
    plans = [side.evidence.plan if side.evidence else None for side in (first, second)]
    if plans[0] and plans[1]:
        found += _differences("settings:", _settings(plans[0]), _settings(plans[1]))
        found += _attack_settings(plans[0], plans[1])
    else:
        found += _differences("settings:", {"seed": ours.seed}, {"seed": theirs.seed})
    found += _versions(ours, theirs)
    return found + _differences("environment:", ours.environment, theirs.environment)


def _weights(first: Report, second: Report) -> list[str]:
    theirs = {model.name: model for model in second.models}
    both = [(model, theirs[model.name]) for model in first.models if model.name in theirs]
    trained = [one.name for one, other in both if one.weights_digest != other.weights_digest]
    guarded = [one.name for one, other in both if one.defence != other.defence]
    found = [f"other weights: {listing(trained)}"] if trained else []
    return found + ([f"other defence: {listing(guarded)}"] if guarded else [])


def _attacks(first: Report, second: Report) -> list[str]:
    """What worst cases are over, and what a cascade has not measured."""
    ours, theirs = (
        dict.fromkeys(e.attack for e in report.evaluations if e.role == "attack") for report in (first, second)
    )
    sides = {"A": [name for name in ours if name not in theirs], "B": [name for name in theirs if name not in ours]}
    only = [f"{listing(names)} in {side} alone" for side, names in sides.items() if names]
    found = [f"worst cases are over other attacks: {', '.join(only)}"] if only else []
    if any(e.skipped for report in (first, second) for e in report.evaluations):
        found.append("a cascade: its attacks ran on what others had left, so that only their worst case is compared")
    return found


def _settings(plan: Plan) -> dict[str, object]:
    return {name: getattr(plan, name) for name in _SETTINGS}


def _attack_settings(first: Plan, second: Plan) -> list[str]:
    """Attacks that are called the same and are set otherwise."""
    ours, theirs = ({(e.attack, e.provider): e.settings for e in plan.evaluations} for plan in (first, second))
    return [
        line
        for key, settings in ours.items()
        if key in theirs
        for line in _differences(f"{key[0]}:", settings, theirs[key])
    ]


def _versions(first: Report, second: Report) -> list[str]:
    """Providers of other versions."""
    ours, theirs = ({e.provider: e.provider_version for e in report.evaluations} for report in (first, second))
    shared = [name for name in ours if name in theirs]
    return _differences("versions of providers:", {n: ours[n] for n in shared}, {n: theirs[n] for n in shared})


def _differences(what: str, first: Mapping[str, object], second: Mapping[str, object]) -> list[str]:
    """One sentence on the keys of two maps, which may be nested, that have other values, or none."""
    ours, theirs = dict(flatten(first)), dict(flatten(second))
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    told = [f"{name} {_short(ours.get(name))} and {_short(theirs.get(name))}" for name in names]
    return [f"{what} {', '.join(told)}"] if told else []


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
