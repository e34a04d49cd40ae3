"""What an inspection found, in sentences. Nothing is said that the numbers do not carry."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_aig.inspection_record import ClassUse, Factor, GateUse, Inspection
from robustbench_aig.policy_traits import traits
from robustbench_aig.reporting.gates_look_words import dependence_text
from robustbench_aig.reporting.words import accuracy_text, gates_text, listing, number, percent

_DISTINCT = 0.05
_MOST_NAMES = 8
_RELIANCE = (
    "Removing a block from a trained network shows how much this network relies on it, not how accurate a network "
    "trained without it would be."
)
_INTERVALS = (
    "Intervals are 95 % over images (Wilson), for these trained weights. Another training seed may differ by more. "
    "p-values are not corrected for the number of blocks."
)


def findings(of: Inspection) -> list[str]:
    """What a reader should know first."""
    intact = f"Intact, {of.model.name} classifies {accuracy_text(of.accuracy)} of {of.data.n} images right."
    return [intact, *_gates(of), *_worth(of)]


def _gates(of: Inspection) -> list[str]:
    """What the gates do, where they don't do the same for every image."""
    if of.gates and of.gates.factors:
        return _scaling(of.gates.factors, [gate.name for gate in of.model.gates])
    return _use(of.gates, of) if of.gates and of.gates.selective else []


def why_no_gates(of: Inspection) -> str | None:
    """Why there is nothing to say about gates; None where there is."""
    if of.gates is None:
        return (
            f"{of.model.name} is a plain network: it has no gates and executes every block for every image, so there "
            "are no execution rates and no images that use few or many blocks."
        )
    if of.gates.selective:
        return None
    if of.policy == "none":
        return (
            f"The gates of {of.model.name} are soft: every block is executed for every image and scaled. So classes "
            "and images do not differ in the blocks that they use."
        )
    scaled = ", scaled by its open probability" if traits(of.policy).smooth else ""
    blind = " Its gates do not look at the image." if of.model.family == "stochastic" else ""
    return (
        f"With {gates_text(of.policy)} every block is executed for every image{scaled}. So classes and images do not "
        f"differ in the blocks that they use.{blind}"
    )


def notes(of: Inspection) -> list[str]:
    """What the numbers do not show."""
    found = [_RELIANCE, _INTERVALS]
    if of.gates and of.gates.selective:
        found.append("With few images in a class, its rates vary by chance.")
    if traits(of.policy).draws:
        found.append(
            "Gates are stochastic here. Every image has one draw, the same for the intact network and all lesions."
        )
    if of.model.family == "stochastic" and of.gates and of.gates.selective:
        found.append("These gates do not look at the image: all differences between classes and images are chance.")
    return found


def _use(gates: GateUse, of: Inspection) -> list[str]:
    """How many blocks images execute, and which gates decide at all."""
    seen = [blocks for blocks, images in enumerate(gates.histogram) if images]
    total = len(gates.rates)
    mean = f"{number(_mean(gates.histogram))} of {total} gated blocks on average, from {seen[0]} to {seen[-1]}"
    found = [
        f"An image executes {mean}." if len(seen) > 1 else f"Every image executes {seen[0]} of {total} gated blocks."
    ]
    names = [gate.name for gate in of.model.gates]
    always = [name for name, rate in zip(names, gates.rates, strict=True) if rate == 1]
    never = [name for name, rate in zip(names, gates.rates, strict=True) if rate == 0]
    if gates.dependence is not None:
        found.append(dependence_text(gates.dependence))
    found += _fixed(always, never)
    fewest, most = (end(gates.per_class, key=_mean_of) for end in (min, max))
    if _mean_of(fewest) < _mean_of(most):
        found.append(
            f"Images of class {most.label} execute the most blocks, {number(_mean_of(most))} on average; those of "
            f"class {fewest.label} the fewest, {number(_mean_of(fewest))}."
        )
    return found


def _scaling(factors: Sequence[Factor], names: Sequence[str]) -> list[str]:
    """How far apart the blocks are, and how far apart the images."""
    named = list(zip(names, factors, strict=True))
    least, most = (end(named, key=lambda each: each[1].mean) for end in (min, max))
    widest = max(named, key=lambda each: each[1].high - each[1].low)
    blocks = f"Blocks are scaled by {percent(least[1].mean)} ({least[0]}) to {percent(most[1].mean)} ({most[0]})"
    images = f"the middle 90 % of them have factors from {percent(widest[1].low)} to {percent(widest[1].high)}"
    return [f"{blocks} on average.", f"Images differ most at block {widest[0]}: {images}."]


def _worth(of: Inspection) -> list[str]:
    """Which block is missed most, and how many are not missed."""
    if not of.lesions:
        return []
    worst = min(of.lesions, key=lambda lesion: lesion.accuracy.value)
    unmissed = [lesion for lesion in of.lesions if lesion.p_value >= _DISTINCT]
    most = (
        f"Removing block {worst.block} lowers the accuracy most, to {accuracy_text(worst.accuracy)}."
        if worst.difference < 0
        else "Removing any single block does not lower the accuracy."
    )
    few = (
        f"{len(unmissed)} of {len(of.lesions)} blocks can be removed, one at a time, without a significant change on "
        f"the same images (exact p ≥ {_DISTINCT})."
    )
    return [most, few]


def _fixed(always: Sequence[str], never: Sequence[str]) -> list[str]:
    """Which gates did the same for every image; that others didn't may be the draw's doing."""
    found = [f"Open for every image: {_named(always)}."] if always else []
    return [*found, f"Closed for every image: {_named(never)}."] if never else found


def _named(gates: Sequence[str]) -> str:
    """The names where they are few, else how many there are."""
    return listing(gates) if len(gates) <= _MOST_NAMES else f"{len(gates)} gates"


def _mean_of(of_class: ClassUse) -> float:
    return _mean(of_class.histogram)


def _mean(histogram: Sequence[int]) -> float:
    """Mean number of executed blocks."""
    return sum(blocks * images for blocks, images in enumerate(histogram)) / sum(histogram)
