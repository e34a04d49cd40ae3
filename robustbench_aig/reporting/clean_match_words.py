"""The plain networks nearest in clean accuracy, and the usual twins, in words."""

from __future__ import annotations

from robustbench_aig.records import ChosenOn, CleanMatch, MeanDifference, SeedGroup
from robustbench_aig.reporting.words import around, condition, gates_text, listing, p_text, percent, reading, signed

_WHERE: dict[ChosenOn, str] = {
    "validation images": "on validation images",
    "images of the report": "on the clean images of this report (validation accuracies are missing)",
}


def gated(match: CleanMatch) -> str:
    """`aig-s0 (48 epochs, deterministic (argmax) gates)`."""
    return _called(match.gated, gates_text(match.gate_policy))


def plain(networks: SeedGroup) -> str:
    """`resnet-s0 (12 epochs)`, or the recipe of several."""
    return _called(networks)


def choice(match: CleanMatch) -> str:
    """Who is nearest, by which accuracies; or that the usual twin is."""
    ours, usual = match.gated, match.usual.networks
    if match.nearest is None:
        told = f"The usual plain twin, {plain(usual)}, is also the nearest to {gated(match)} in clean accuracy: "
        told += f"{_WHERE[match.chosen_on]} it has {percent(usual.choice_accuracy)}, "
        told += f"the gated one {percent(ours.choice_accuracy)}."
    else:
        nearest = match.nearest.networks
        told = f"The plain network nearest to {gated(match)} in clean accuracy is {plain(nearest)}: "
        told += f"{_WHERE[match.chosen_on]} it has {percent(nearest.choice_accuracy)}, "
        told += f"the gated one {percent(ours.choice_accuracy)}, "
        told += f"the usual twin, {plain(usual)}, {percent(usual.choice_accuracy)}."
    if match.left_out:
        told += " Left out, because it is not known that they were trained on the same data with the same seeds: "
        told += f"{listing(match.left_out)}."
    return told


def summary(match: CleanMatch) -> str | None:
    """All differences from the nearest; None where the usual twin is that."""
    if match.nearest is None:
        return None
    told = [f"{_condition(one)}: {_gap(one)}" for one in match.nearest.differences]
    return f"Gated minus nearest plain: {'; '.join(told)}."


def beside(match: CleanMatch) -> list[tuple[MeanDifference, MeanDifference]]:
    """(from the nearest, from the usual twin) under each condition that both were measured under."""
    if match.nearest is None:
        return []
    usual = {(one.attack, one.threat): one for one in match.usual.differences}
    pairs = ((one, usual.get((one.attack, one.threat))) for one in match.nearest.differences)
    return [(one, other) for one, other in pairs if other is not None]


def lines(match: CleanMatch) -> list[str]:
    """The choice, and for each condition the accuracies and the differences from both."""
    told = [choice(match)]
    for one, other in beside(match):
        accuracies = (f"{percent(each.plain)}, difference {_gap(each)}" for each in (one, other))
        told.append(f"  {_condition(one)}: gated {percent(one.gated)}; nearest {'; usual '.join(accuracies)}")
    return told


def word(one: MeanDifference) -> str:
    """What the interval allows to say, with the p-value where there is one."""
    p = "" if one.p_value is None else f" (McNemar p {'' if one.p_value < 0.001 else '= '}{p_text(one.p_value)})"
    return f"{reading(one)}{p}"


def _condition(one: MeanDifference) -> str:
    return f"{condition(one)}{', worst case over attacks' if one.threat else ''}"


def _gap(one: MeanDifference) -> str:
    return f"{signed(one.difference)} points {around(one.low, one.high)}, {word(one)}"


def _called(networks: SeedGroup, *more: str) -> str:
    several = len(networks.names) > 1
    known = [f"{networks.epochs} epochs{_began(networks)}"] if networks.epochs is not None else []
    known += [f"mean of {len(networks.names)} seeds"] if several else []
    facts = ", ".join([*known, *more])
    name = networks.recipe if several else networks.names[0]
    return f"{name} ({facts})" if facts else name


def _began(networks: SeedGroup) -> str:
    """` after plain-s0`, or after the recipe of several runs; nothing after random weights."""
    several = len({one.run for one in networks.initial}) > 1
    names = dict.fromkeys((one.recipe if several else None) or one.run for one in networks.initial)
    return f" after {listing(list(names))}" if names else ""
