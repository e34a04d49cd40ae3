"""From gaps to verdicts: the rules, and nothing of where gaps come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from robustbench_aig.records import ClaimVerdict, Measurement
from robustbench_aig.reporting.words import around, number, percent, signed
from robustbench_aig.statistics import MARGIN, fewest_images, images_needed
from robustbench_aig.threat import Threat

FLOOR = 0.02
"""Robust accuracy below which two networks are not compared."""


class Ruling(NamedTuple):
    """A verdict, the sentence that says why, and whether others may leave it aside."""

    verdict: ClaimVerdict
    reason: str
    floor: bool = False


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, mostly a difference of two shares on the same images.

    Attributes:
        value, low, high: with its 95 % interval, for the networks or seeds that the claim is asked of.
        n: images; None where none are involved.
        discordant: mean squared difference of an image; the share of discordant ones where nothing is random.
    """

    value: float
    low: float
    high: float
    n: int | None
    discordant: float = 0.0

    def above(self, margin: float) -> bool:
        """Whether it is significantly larger than `margin`."""
        return self.low > margin

    @property
    def needed(self) -> int:
        """Images that would show a difference of one point, however large this one is."""
        return images_needed(MARGIN, max(self.discordant, MARGIN))

    def __str__(self) -> str:
        return f"{signed(self.value)} points {around(self.low, self.high)}"


@dataclass(frozen=True)
class Contest:
    """All that decides whether a gated network is more robust than a plain one at one strength.

    Attributes:
        gap: under the claim's attack and policy.
        failed: images failed in one of its evaluations.
        left: robust accuracy of the better of both, over all images.
        fgsm: the gap under FGSM; None where the claim is about FGSM, or it wasn't run.
        random: the policy draws noise.
        argmax: the gap with the likelier decisions instead; None where that wasn't measured, or nothing is random.
        carried: by how much half of `gap` is less than sampled minus argmax; None as `argmax`.
    """

    gap: Estimate
    failed: bool
    left: float
    fgsm: Estimate | None
    random: bool
    argmax: Estimate | None
    carried: Estimate | None


def judge_contest(found: Contest, margin: float) -> Ruling:
    """The verdict at one strength.

    Supported: the gap is above the margin, and so it is without randomness. Explained by randomness: sampled over
    argmax gates makes up more than half of it. Explained by masking: FGSM shows an advantage, the claim's own attack
    shows none, and a smaller one than FGSM's at any rate. Unsupported: the gap is below the margin, or equivalent to it
    (within one point, by the 95 % interval, which is stricter than TOST at 5 %).
    """
    if found.failed:
        return Ruling("inconclusive", "an attack failed on some images, so nothing is known about the networks")
    if found.left < FLOOR:
        return Ruling("inconclusive", f"both have less than {percent(FLOOR)} robust accuracy", floor=True)
    if few := too_few(found.gap, margin):
        return few
    return _advantage(found, margin) if found.gap.above(margin) else _none(found, margin)


def too_few(found: Estimate, margin: float) -> Ruling | None:
    """Nothing is said of a margin that its images could not show; None where they could. The least is one point."""
    margin = max(margin, MARGIN)
    needed = fewest_images(margin)
    if found.n is None or found.n >= needed:
        return None
    said = f"{found.n} images are too few for a margin of {percent(margin)}; {needed} are needed"
    return Ruling("inconclusive", said)


def _none(found: Contest, margin: float) -> Ruling:
    """Where no advantage is above the margin: was it FGSM's, is there none, or are there too few images?"""
    gap = found.gap
    if found.fgsm is not None and found.fgsm.above(margin) and gap.high < found.fgsm.value:
        seen = f"gated minus plain: {found.fgsm} under FGSM, but {gap} under the stronger attacks"
        return Ruling("explained by masking", seen)
    return no_advantage(gap, margin, _said(gap))


def no_advantage(gap: Estimate, margin: float, said: str) -> Ruling:
    """Of a gap that isn't above the margin: below it, equal to it within a point, or too few images to tell."""
    if gap.high < margin:
        return Ruling("unsupported", said)
    if margin - MARGIN < gap.low and gap.high < margin + MARGIN:
        return Ruling("unsupported", f"{said}: equal to within one point")
    return Ruling("inconclusive", f"{said}; detecting one point needs {gap.needed} images")


def _said(gap: Estimate) -> str:
    return f"gated minus plain: {gap}"


def _advantage(found: Contest, margin: float) -> Ruling:
    """Where gates are random: does choosing blocks make it, or drawing them?"""
    if not found.random:
        return Ruling("supported", _said(found.gap))
    if found.argmax is None or found.carried is None:
        return Ruling(
            "inconclusive", f"{_said(found.gap)}, but without deterministic gates the part of noise is unknown"
        )
    seen = f"gated minus plain: {found.gap} with stochastic gates, {found.argmax} with deterministic gates"
    if found.carried.above(0):
        return Ruling("explained by randomness", seen)
    if found.argmax.above(margin):
        return Ruling("supported", seen)
    return Ruling(
        "inconclusive", f"{seen}; detecting one point needs {found.argmax.needed} images with deterministic gates"
    )


def judge_bound(found: Estimate, limit: float, *, at_least: bool, margin: float | None = None) -> Ruling:
    """The verdict on a number that must not be below, or above, a limit: by its interval.

    Args:
        found: the number.
        limit: that it is compared with.
        at_least: whether the limit is the least that it may be, and not the most.
        margin: in shares of images, how much the sentence leaves open; None where it is not over images.
    """
    if margin is not None and (few := too_few(found, margin)):
        return few
    low, high = (found.low, found.high) if at_least else (-found.high, -found.low)
    bound = limit if at_least else -limit
    within, beyond = ("at least", "below") if at_least else ("at most", "above")
    if low >= bound:
        return Ruling("supported", f"{_plain(found)} is {within} {number(limit, 2)}")
    if high < bound:
        return Ruling("unsupported", f"{_plain(found)} is {beyond} {number(limit, 2)}")
    unclear = f"the interval of {_plain(found)} contains the limit {number(limit, 2)}"
    return Ruling("inconclusive", f"{unclear}; more images would narrow it")


def _plain(found: Estimate) -> str:
    """Value and interval, where there is one."""
    if found.low == found.high:
        return number(found.value, 4)
    return f"{number(found.value, 3)} [{number(found.low, 3)}, {number(found.high, 3)}]"


_FIRST: tuple[ClaimVerdict, ...] = (
    "unsupported",
    "explained by masking",
    "explained by randomness",
    "inconclusive",
    "not refuted",
    "supported",
)

HOLDS: frozenset[ClaimVerdict] = frozenset({"supported", "not refuted"})
"""What is said of a sentence that the evidence agrees with."""


def combine(found: Sequence[Measurement]) -> Measurement:
    """The measurement that decides on a sentence which says something of every strength: one exception refutes it.

    Strengths at the floor decide nothing where others do. What holds at all of them is told by the largest. That a
    claim must hold at all of them needs no correction for their number (intersection-union test: R. L. Berger,
    Technometrics 24, 1982).
    """
    deciding = [one for one in found if one.decides] or list(found)
    return min(deciding, key=_precedence)


def _precedence(one: Measurement) -> tuple[int, float]:
    """First in order decides."""
    hardest = one.threat.value if one.threat and one.verdict in HOLDS else 0.0
    return _FIRST.index(one.verdict), -hardest


def measurement(
    what: str,
    found: Estimate,
    ruling: Ruling,
    *,
    threat: Threat | None = None,
    beside: Mapping[str, float] | None = None,
    attacks: Sequence[str] = (),
) -> Measurement:
    """The record of a number and its verdict."""
    return Measurement(
        what=what,
        threat=threat,
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        verdict=ruling.verdict,
        reason=ruling.reason,
        decides=not ruling.floor,
        beside=dict(beside or {}),
        attacks=list(attacks),
    )


def unrefuted(one: Measurement) -> Measurement:
    """The same of a claim about every attack: those that ran can't support it, since the next may refute it."""
    return one.model_copy(update={"verdict": "not refuted"}) if one.verdict == "supported" else one
