"""Numbers and findings in words. Nothing is said that the numbers do not carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from robustbench_aig.norms import BALLS, Norm
from robustbench_aig.records import (
    Accuracy,
    Comparison,
    Difference,
    Evaluation,
    Latency,
    ModelRecord,
    Step,
    WorstCase,
)
from robustbench_aig.statistics import Interval
from robustbench_aig.threat import Threat

NBSP = "\u00a0"

_FINEST = 7
"""Digits of a point after which a number is called zero."""

_NAMED = 2
"""Attacks before another one that are named and not counted."""


def number(value: float, digits: int = 1) -> str:
    """A fixed number of digits with a true minus sign, and no negative zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\u2212")


def percent(share: float) -> str:
    """A share as `12.0 %`."""
    return f"{number(100 * share)}{NBSP}%"


def signed(share: float, digits: int = 1) -> str:
    """A difference of shares in points: `+1.6`."""
    return f"{'+' if round(100 * share, digits) > 0 else ''}{number(100 * share, digits)}"


def bracket(low: float, high: float) -> str:
    """An interval of shares in percent or points: `[10.4, 14.1]`."""
    return f"[{number(100 * low)},{NBSP}{number(100 * high)}]"


def around(low: float, high: float) -> str:
    """The interval of a difference in points: `[−3.8, +0.1]`; an end beside zero has the digits that show its side."""
    return f"[{_end(low)},{NBSP}{_end(high)}]"


def _end(share: float) -> str:
    digits = next((d for d in range(1, _FINEST) if round(100 * share, d)), 1)
    return signed(share, digits)


def accuracy_text(accuracy: Accuracy) -> str:
    """Value and interval: `12.0 % [10.4, 14.1]`."""
    return f"{percent(accuracy.value)} {bracket(accuracy.low, accuracy.high)}"


def operations(value: float | None) -> str:
    """Multiply-accumulates with their unit: `41.2 MMAC`, or `unknown`."""
    return "unknown" if value is None else f"{macs(value)}MAC"


def macs(value: float) -> str:
    """Multiply-accumulates with an SI prefix: `41.2 M`."""
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f}{NBSP}{prefix}"
    return f"{value:.0f}"


def clocks(evaluations: Sequence[Evaluation]) -> list[str]:
    """How the latencies among evaluations were measured, every way once: `64 images at once, cpu, 2 threads`."""
    found: list[Latency] = [e.compute.latency for e in evaluations if e.compute and e.compute.latency]
    return list(dict.fromkeys(f"{one.images} images at once, {one.device}, {one.threads} threads" for one in found))


def p_text(p: float | None) -> str:
    """A p-value, or why there is none."""
    if p is None:
        return "random gates"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def threat_text(threat: Threat | None) -> str:
    """`ε = 4/255 (L∞)`, or `clean`."""
    if threat is None:
        return "clean"
    return ball(threat.norm, threat.eps)


def ball(norm: Norm, eps: str) -> str:
    """The same of a threat that is no record."""
    return f"ε = {eps} ({BALLS[norm].symbol})"


SUMMARIES = {"union": "worst case", "corruptions": "mean over all corruptions"}
"""What the names of comparisons mean that are no single measurement."""


def condition(comparison: Difference) -> str:
    """What was done to the images: an epsilon, the mean over all corruptions, or nothing."""
    return SUMMARIES["corruptions"] if comparison.attack == "corruptions" else threat_text(comparison.threat)


def breakable(name: str) -> Markup:
    """A name that a line may end in, after a comma: `apgd:steps=50,gates=open` would make a table too wide."""
    return Markup(",<wbr>").join(name.split(","))


def counted(attacks: Sequence[str], beside: Mapping[str, str]) -> str:
    """How many attacks there are of each role: `31 attacks, 2 controls`."""
    roles = Counter(beside.get(attack, "attack") for attack in attacks)
    return listing([f"{count} {_ROLES[role][count > 1]}" for role, count in roles.items()])


def listing(names: Sequence[str]) -> str:
    """`fgsm, pgd and apgd`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def flatten(tree: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text) lines, for a two-column table."""
    lines: list[tuple[str, str]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            lines += flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            lines.append((prefix + key, ", ".join(map(str, value))))
        else:
            lines.append((prefix + key, "none" if value is None else str(value)))
    return lines


SAME = "not significantly different"


def differs(low: float, high: float) -> bool:
    """Whether a difference is significantly different from zero: by its interval alone, wherever it is shown."""
    return Interval(low, high).excludes(0)


def reading(comparison: Difference) -> str:
    """What the interval of a difference allows to say."""
    if comparison.status == "error":
        return "has failed images"
    if not differs(comparison.low, comparison.high):
        return SAME
    return f"{'gated' if comparison.difference > 0 else 'plain'} significantly higher"


def distinct(step: Step) -> bool:
    """Whether a step of the ladder is significantly different from zero."""
    return step.status == "ok" and differs(step.low, step.high)


def verdict(comparison: Comparison, gated: tuple[str, Accuracy], plain: tuple[str, Accuracy]) -> str:
    """One sentence on gated against plain, each (phrase, accuracy): the union at one epsilon, or all corruptions."""
    if comparison.status == "error":
        end = "failed images count as lost, so this is no verdict"
    elif not differs(comparison.low, comparison.high):
        end = f"{SAME} on {comparison.n} images"
    else:
        end = f"significantly higher for the {'gated' if comparison.difference > 0 else 'plain'} model"
    under, kind = "On average over these corruptions", "accuracy"
    if comparison.threat:
        under, kind = f"Under the strongest of these attacks at {threat_text(comparison.threat)}", "robust accuracy"
    return (
        f"{under} {gated[0]} has {kind} {accuracy_text(gated[1])}, {plain[0]} {accuracy_text(plain[1])}: difference "
        f"{signed(comparison.difference)} points {around(comparison.low, comparison.high)}, {end}."
    )


def left(evaluation: Evaluation, earlier: Sequence[str]) -> str:
    """Which images an attack was run on that skipped what others had won: `the 40 images left by fgsm and pgd`."""
    count = evaluation.n - evaluation.skipped
    images = {0: "no image", 1: "the one image"}.get(count, f"the {count} images")
    if not earlier:
        return f"{images} classified right when clean"
    return f"{images} left by {listing(earlier) if len(earlier) <= _NAMED else f'the {len(earlier)} attacks before it'}"


def kept_of_left(evaluation: Evaluation, earlier: Sequence[str]) -> str:
    """What is left after an attack of the images that it was run on: `30.0 % of the 40 images left by fgsm`."""
    count = evaluation.n - evaluation.skipped
    if not count:
        return left(evaluation, earlier)
    return f"{percent(evaluation.robust_accuracy.value * evaluation.n / count)} of {left(evaluation, earlier)}"


def others_only(worst: WorstCase) -> str | None:
    """What other providers' attacks add to ours; None where there is nothing to compare."""
    if worst.own_accuracy is None:
        return None
    images = worst.others_only
    listed = ", ".join([*map(str, images[:_LISTED]), *(["…"] if len(images) > _LISTED else [])])
    return (
        f"Other providers alone break {len(images)} of {worst.accuracy.n} images{f': {listed}' if listed else ''}. "
        f"Our own attacks alone leave {accuracy_text(worst.own_accuracy)}, all of them {accuracy_text(worst.accuracy)}."
    )


def movement(phrase: str, evaluation: Evaluation, model: ModelRecord, earlier: Sequence[str] = ()) -> str:
    """One sentence on gates and compute under one attack of a gated model.

    Args:
        phrase: how the model is called.
        evaluation: of the attack.
        model: that was attacked.
        earlier: attacks that the images went through before, where it is part of a cascade.
    """
    compute, gates = evaluation.compute, evaluation.gates
    over = f" on {left(evaluation, earlier)}" if evaluation.skipped else ""
    start = f"With {evaluation.attack} at {threat_text(evaluation.threat)}{over}, {phrase}"
    if gates is None:
        return f"{start} failed on every image, so nothing is known of its gates."
    noise = (
        f"{percent(gates.noise_flip_rate)} under random noise of the same ε"
        if gates.noise_flip_rate is not None
        else "no noise control ran, so how much of that is noise is unknown"
    )
    flips = f"{percent(gates.flip_rate)} of its gate decisions change ({noise})"
    if compute is None or not model.total_macs:
        return f"{start} changes its path: {flips}. How much it computes is unknown."
    before, after = compute.clean_macs / model.total_macs, compute.adversarial_macs / model.total_macs
    return f"{start} goes from {percent(before)} to {percent(after)} of its all-open compute, and {flips}."


BESIDE = {"control": "control", "compute": "on the compute"}
"""What attacks are called that don't count in the worst case, by their role."""
_ROLES = {
    "attack": ("attack", "attacks"),
    "compute": ("on the compute", "on the compute"),
    "control": ("control", "controls"),
}

FEW = 8
"""Attacks that the first screen and the small charts show one by one."""
_FEW = 4
_LISTED = 20


def limits(
    attacks: Sequence[str], gate_modes: Sequence[str], *, corrupted: bool = False, compute: bool = False
) -> list[str]:
    """What the numbers do not show; said on the first screen of every report.

    Args:
        attacks: that the worst case is over.
        gate_modes: how they look past gates, but for the stock way.
        corrupted: whether there are common corruptions.
        compute: whether the compute was attacked.
    """
    if compute and not attacks:
        return [_COMPUTE_ALONE, _INTERVALS]
    if corrupted and not attacks:
        return [_NO_ATTACK, _INTERVALS]
    over = listing(attacks) if attacks else "no attack"
    over = f"{len(attacks)} attacks" if len(attacks) > _FEW else over
    ways = f"{len(gate_modes)} way{'s' * (len(gate_modes) > 1)}"
    aimed = f"Attacks know about the gates in {ways}: {listing(gate_modes)}." if gate_modes else _BLIND
    return [
        f"The worst case is a union over {over}: an upper bound of the robustness. {_STRONGER}",
        aimed,
        _INTERVALS,
    ]


_STRONGER = "A stronger attack can lower every number, and need not lower them equally."
_BLIND = (
    "None of these attacks is gate-aware. Higher robust accuracy of a gated network may come from a hidden gradient or "
    "from the randomness of its gates; run the suite `adaptive` to find out."
)
_COMPUTE_ALONE = (
    "Only the compute was attacked: robust accuracy is not measured here. A stronger attack can raise it further."
)
_NO_ATTACK = "No attacks were run. Accuracy under common corruptions does not predict accuracy under attack."
_INTERVALS = (
    "Intervals are 95 % over images, for these trained weights; another training seed may differ by more. They "
    "are not corrected for the number of comparisons."
)


def times_asked(random: Sequence[WorstCase]) -> list[int]:
    """How often an attacker may ask, beyond once, as far as all of these say; as many as the draws is "every draw"."""
    known = [set(worst.accuracy.when_asked or {}) - {1, worst.accuracy.draws} for worst in random]
    return sorted(set.intersection(*known)) if known else []
