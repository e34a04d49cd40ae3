"""Numbers and findings in words. Nothing is said that the numbers do not carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from robustbench_aig.norms import BALLS, Norm
from robustbench_aig.policy_traits import DETERMINISTIC, STOCHASTIC
from robustbench_aig.records import (
    Accuracy,
    Answer,
    AnswerVerdict,
    ClaimVerdict,
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


def spread(low: float, high: float) -> str:
    """From the lowest to the highest of several, in percent: `10.4–14.1`."""
    return f"{number(100 * low)}–{number(100 * high)}"


def around(low: float, high: float) -> str:
    """The interval of a difference in points: `[−3.8, +0.1]`; an end beside zero has the digits that show its side."""
    return f"[{_end(low)},{NBSP}{_end(high)}]"


def _end(share: float) -> str:
    # +0.04 rounded to +0.0 would hide that an interval excludes 0.
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
        return "stochastic gates"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def threat_text(threat: Threat | None) -> str:
    """`ε = 4/255 (L∞)`, or `clean`."""
    if threat is None:
        return "clean"
    return ball(threat.norm, threat.eps)


def ball(norm: Norm, eps: str) -> str:
    """The same of a threat that is no record."""
    return f"ε = {eps} ({BALLS[norm].symbol})"


SUMMARIES = {"union": "worst case over attacks", "corruptions": "mean over all corruptions"}
"""What the names of comparisons mean that are no single measurement."""

# Recorded names stay as they are: rows, plans and random streams are found by them (docs/adr/0013).
_SHOWN = {**SUMMARIES, "corners": "random-sign noise", "permuted": "shuffled perturbations"}


def attack_text(name: str) -> str:
    """What readers call an attack by its recorded name; changes stay: `shuffled perturbations:of.steps=3`."""
    base, colon, changes = name.partition(":")
    return f"{_SHOWN.get(base, base)}{colon}{changes}"


_GATES = {DETERMINISTIC: f"deterministic ({DETERMINISTIC})", STOCHASTIC: f"stochastic ({STOCHASTIC})"}


def gates_text(policy: str) -> str:
    """`deterministic (argmax) gates`: what sentences call gates under a policy."""
    return f"{_GATES.get(policy, policy)} gates"


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


_GOOD: set[AnswerVerdict] = {"yes"}
_BAD: set[AnswerVerdict] = {"no", "hardly", "explained by randomness", "explained by masking"}


def look(answer: Answer) -> str:
    """How an answer is coloured: `yes` for good news, `no` for bad, else `open`; its words say the same."""
    good, bad = (_BAD, _GOOD) if answer.question == "slower" else (_GOOD, _BAD)
    if answer.verdict in good:
        return "yes"
    return "no" if answer.verdict in bad else "open"


CLAIM_LOOK: dict[ClaimVerdict, str] = {
    "supported": "yes",
    "not refuted": "open",
    "explained by randomness": "no",
    "explained by masking": "no",
    "unsupported": "no",
    "inconclusive": "open",
}
"""How the verdict on a claim is coloured."""

OPEN_ROWS = 20
"""Rows of a table that are open at first; the rest is folded."""

_UNITS = {
    "slower": "of the skipped compute is executed",
    "gates": "of the decisions change",
}
"""What the number of an answer is a share of."""


def answer_number(answer: Answer) -> str:
    """The number of an answer with its interval, strength and images; empty where nothing was measured."""
    if answer.value is None:
        return ""
    low, high = answer.low, answer.high
    if answer.question == "more-robust":
        number = f"{signed(answer.value)} points"
        interval = "" if low is None or high is None else f" {around(low, high)}"
    else:
        number = percent(answer.value)
        interval = "" if low is None or high is None else f" {bracket(low, high)}"
    of = f" {_UNITS[answer.question]}" if answer.question in _UNITS else ""
    at = threat_text(answer.threat).replace(" ", NBSP)
    return f"{number}{interval}{of} at {at}, {answer.n} images"


def answer_text(answer: Answer) -> str:
    """An answer in one line: gate policy, verdict, and its number where one was measured."""
    number = answer_number(answer)
    return f"{gates_text(answer.gate_policy)}: {answer.told}{f', {number}' if number else ''}"


def distinct(step: Step) -> bool:
    """Whether a step of the ablation is significantly different from zero."""
    return step.status == "ok" and differs(step.low, step.high)


def verdict(comparison: Comparison, gated: tuple[str, Accuracy], plain: tuple[str, Accuracy]) -> str:
    """One sentence on gated against plain, each (phrase, accuracy): the worst case at one ε, or all corruptions."""
    if comparison.status == "error":
        end = "failed images count as misclassified, so this is no verdict"
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


def run_on(evaluation: Evaluation, earlier: Sequence[str]) -> str:
    """Which images an attack of a cascade was run on: `the 40 images still classified right after fgsm and pgd`."""
    count = evaluation.n - evaluation.skipped
    images = {0: "no image", 1: "the one image"}.get(count, f"the {count} images")
    if not earlier:
        return f"{images} classified right when clean"
    before = listing([*map(attack_text, earlier)]) if len(earlier) <= _NAMED else f"{len(earlier)} earlier attacks"
    return f"{images} still classified right after {before}"


def right_of_those(evaluation: Evaluation, earlier: Sequence[str]) -> str:
    """How many of the images that it was run on an attack of a cascade leaves right: `30.0 % of the 40 images …`."""
    count = evaluation.n - evaluation.skipped
    if not count:
        return run_on(evaluation, earlier)
    return f"{percent(evaluation.robust_accuracy.value * evaluation.n / count)} of {run_on(evaluation, earlier)}"


def others_only(worst: WorstCase) -> str | None:
    """What other providers' attacks add to ours; None where there is nothing to compare."""
    if worst.own_accuracy is None:
        return None
    images = worst.others_only
    listed = ", ".join([*map(str, images[:_LISTED]), *(["…"] if len(images) > _LISTED else [])])
    return (
        f"Only attacks of other providers break {len(images)} of {worst.accuracy.n} images"
        f"{f': {listed}' if listed else ''}. Robust accuracy is {accuracy_text(worst.own_accuracy)} under our own "
        f"attacks, and {accuracy_text(worst.accuracy)} under all."
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
    over = f" on {run_on(evaluation, earlier)}" if evaluation.skipped else ""
    start = f"Under {attack_text(evaluation.attack)} at {threat_text(evaluation.threat)}{over},"
    if gates is None:
        return f"{start} {phrase} failed on every image, so nothing is known about its gates."
    noise = (
        f"{percent(gates.noise_flip_rate)} under {attack_text('corners')} of the same ε"
        if gates.noise_flip_rate is not None
        else "the noise control was not run, so how much of that is noise is unknown"
    )
    flips = f"{percent(gates.flip_rate)} of the gate decisions of {phrase} change ({noise})"
    if compute is None or not model.total_macs:
        return f"{start} {flips}. Its executed compute is unknown."
    before, after = compute.clean_macs / model.total_macs, compute.adversarial_macs / model.total_macs
    return f"{start} {flips}. Its executed compute goes from {percent(before)} to {percent(after)} of all-open compute."


BESIDE = {"control": "control", "compute": "on the compute"}
"""What attacks are called that don't count in the worst case, by their role."""
_ROLES = {
    "attack": ("attack", "attacks"),
    "compute": ("attack on the compute", "attacks on the compute"),
    "control": ("control", "controls"),
}

FEW = 8
"""Attacks that the first screen and the small charts show one by one."""
_FEW = 4
_LISTED = 20


def limits(
    attacks: Sequence[str],
    gate_modes: Sequence[str],
    *,
    corrupted: bool = False,
    compute: bool = False,
    unchecked: bool = False,
) -> list[str]:
    """What the numbers do not show; said on the first screen of every report.

    Args:
        attacks: that the worst case is over.
        gate_modes: how the gradients of gate-aware attacks treat gates.
        corrupted: whether there are common corruptions.
        compute: whether the compute was attacked.
        unchecked: whether checks of the attacks are still to be run.
    """
    if compute and not attacks:
        return [_COMPUTE_ALONE, _INTERVALS]
    if corrupted and not attacks:
        return [_NO_ATTACK, _INTERVALS]
    over = listing([*map(attack_text, attacks)]) if attacks else "no attack"
    over = f"{len(attacks)} attacks" if len(attacks) > _FEW else over
    aimed = f"{_AWARE}: {listing(gate_modes)}." if gate_modes else _BLIND
    aimed += f" {_UNCHECKED}" if unchecked else ""
    worst = f"The worst case over attacks is the per-image union over {over}. It is an upper bound on robust accuracy."
    return [f"{worst} {_STRONGER}", aimed, _INTERVALS]


_STRONGER = (
    "A stronger attack can lower every accuracy, and raise every share of changed decisions and of recovered compute."
)
_AWARE = "Some of these attacks are gate-aware; their gradients treat gates in these ways"
_UNCHECKED = "Whether a gradient is masked or an attack too weak was not checked (`aigrob check`)."
_BLIND = (
    "None of these attacks is gate-aware. Higher robust accuracy of a gated network may come from a masked gradient or "
    "from the randomness of its gates. Run the suite `adaptive` to find out."
)
_COMPUTE_ALONE = (
    "Only the compute was attacked, so robust accuracy is not measured here. A stronger attack can raise the compute "
    "further."
)
_NO_ATTACK = "No attacks were run. Accuracy under common corruptions does not predict accuracy under attack."
_INTERVALS = (
    "Intervals are 95 % over images, for these trained weights. Another training seed may differ by more. The "
    "intervals are not corrected for the number of comparisons."
)


def times_asked(random: Sequence[WorstCase]) -> list[int]:
    """How often an attacker may ask, beyond once, as far as all of these say; as many as the draws is "every draw"."""
    known = [set(worst.accuracy.when_asked or {}) - {1, worst.accuracy.draws} for worst in random]
    return sorted(set.intersection(*known)) if known else []
