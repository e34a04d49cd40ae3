"""Does accuracy fall with epsilon as it must, and is epsilon what it says?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch

from robustbench_aig.attacks import Attack
from robustbench_aig.checks.case import Case, whole
from robustbench_aig.checks.check_class import OnRight
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.thresholds import Limits, percent
from robustbench_aig.evaluation import Images
from robustbench_aig.threat import Threat

# Levels of an 8-bit pixel above 0.
_STEPS = 255


@dataclass(frozen=True)
class Monotone(OnRight):
    """The attack in growing balls around the case's.

    Attributes:
        factors: of epsilon, rising.
    """

    factors: tuple[Fraction, ...] = (Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(4))

    name: ClassVar[str] = "monotone"
    title: ClassVar[str] = "A larger ε breaks no fewer images"
    asks: ClassVar[str] = "Is an image that is broken at one ε also broken at every larger ε?"
    advice: ClassVar[str] = "Fix the attack: every point of a small ball is also in the larger one."
    limits: ClassVar[Limits] = Limits(0.02, 0.1)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images that are lost in one ball and hold in a larger one."""
        balls = self.balls(case)
        outcomes = [case.outcome(case.attack, images, ball) for ball in balls]
        lost = torch.stack([outcome.lost for outcome in outcomes]).cummax(0).values
        held = torch.stack([outcome.held for outcome in outcomes])
        count = int((lost & held).any(0).sum())
        right = {ball.eps: outcome.right.double().mean().item() for ball, outcome in zip(balls, outcomes, strict=True)}
        said = ", ".join(f"{percent(value)} at {text}" for text, value in right.items())
        return self.found(count, len(images), f"right: {said}", right)

    def balls(self, case: Case) -> list[Threat]:
        """Growing, each once."""
        return list(dict.fromkeys(scaled(case.threat, factor) for factor in self.factors))

    def attacks(self, case: Case) -> Sequence[tuple[Attack, Threat]]:
        """The one under examination in each ball."""
        return [(case.attack, ball) for ball in self.balls(case)]


@dataclass(frozen=True)
class HighEpsilon(OnRight):
    """The attack in a ball that reaches the grey image from anywhere (Carlini et al., arXiv 1902.06705)."""

    name: ClassVar[str] = "high-epsilon"
    title: ClassVar[str] = "At ε = 0.5 every image is broken"
    asks: ClassVar[str] = "Does the attack break every image when each can be made grey?"
    advice: ClassVar[str] = "No network can be robust there: the attack or its gradient is wrong."
    limits: ClassVar[Limits] = Limits(0.05, 0.2)
    radius: ClassVar[float] = 0.5

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images that hold."""
        threat = wide(case, self.radius)
        right = case.outcome(case.attack, images, threat).right
        count = int((right > 0.5).sum())
        evidence = f"{count} of {len(images)} images are still right at {threat}"
        return self.found(count, len(images), evidence, {"right": right.double().mean().item()})

    def attacks(self, case: Case) -> Sequence[tuple[Attack, Threat]]:
        """The one under examination in the large ball."""
        return [(case.attack, wide(case, self.radius))]


@dataclass(frozen=True)
class Unbounded(HighEpsilon):
    """The attack without a ball (indicator I6 of Pintor et al. 2022)."""

    name: ClassVar[str] = "unbounded"
    title: ClassVar[str] = "Without a bound every image is broken"
    asks: ClassVar[str] = "Does the attack break every image when any image is allowed?"
    advice: ClassVar[str] = "Images of other classes are allowed there: the attack or its gradient is wrong."
    limits: ClassVar[Limits] = Limits(0.01, 0.05)
    radius: ClassVar[float] = 1.0


@dataclass(frozen=True)
class InTheBall(OnRight):
    """What the attack returns, measured by the guard."""

    name: ClassVar[str] = "in-the-ball"
    title: ClassVar[str] = "Attacked images are in the ball"
    asks: ClassVar[str] = "Is every attacked image in the ball and in the pixel range, without NaN?"
    advice: ClassVar[str] = "Fix the attack, or the scale of its ε: pixels are in [0, 1], so use 8/255, not 8."
    limits: ClassVar[Limits] = Limits(0.0, 0.05, strict=True)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images that aren't."""
        found = case.attacked(images, case.threat)
        failed = torch.cat([each.failed for each in found])
        largest = case.threat.distance(torch.cat([each.images for each in found]), images.pixels).max().item()
        reason = next((each.reason for each in found if each.reason is not None), None)
        evidence = reason or f"the largest perturbation is {largest:.6g} at {case.threat} = {case.threat.value:.6g}"
        return self.found(int(failed.sum()), len(images), evidence, {"largest change": largest})

    def attacks(self, case: Case) -> Sequence[tuple[Attack, Threat]]:
        """The one under examination."""
        return [(case.attack, case.threat)]


@dataclass(frozen=True)
class EightBit(OnRight):
    """Attacked images with the change rounded to whole steps of 1/255, inside the ball."""

    name: ClassVar[str] = "eight-bit"
    title: ClassVar[str] = "Attacks survive 8-bit pixels"
    asks: ClassVar[str] = "Are images still misclassified when their perturbation is rounded to 8 bits?"
    advice: ClassVar[str] = (
        "Report it: these attacked images exist only in floating point; an 8-bit file cannot store them."
    )
    limits: ClassVar[Limits] = Limits(0.05, 0.2, mild=True)

    def look(self, case: Case, images: Images) -> Finding:
        """Count, of the lost images, those that are right again."""
        levels = int(case.threat.value * _STEPS + 1e-3)
        if levels < 1:
            return self.unfit(f"{case.threat} is less than one step of 8-bit pixels")
        outcome = case.outcome(case.attack, images)
        lost = outcome.lost.nonzero()[:, 0]
        if not len(lost):
            return self.unfit(f"no image is broken at {case.threat}")
        some, adv = images.pick(lost), whole(case.attack, case.attacked(images, case.threat))[lost]
        steps = ((adv - some.pixels) * _STEPS).round().clamp(-levels, levels)
        rounded = case.threat.project(some.pixels + steps / _STEPS, some.pixels)
        count = int((case.scores(rounded, some) >= 0.5).sum())
        evidence = f"of {len(lost)} broken images {count} are right again in 8 bits"
        return self.found(count, len(lost), evidence)

    def attacks(self, case: Case) -> Sequence[tuple[Attack, Threat]]:
        """The one under examination."""
        return [(case.attack, case.threat)]

    def cost(self, case: Case) -> Cost:
        """Judging again."""
        return Cost(forwards=case.cost(case.attack, self.images).forwards)


def scaled(threat: Threat, factor: Fraction) -> Threat:
    """A ball so many times as large, at most the whole pixel range where epsilon bounds each pixel."""
    radius = threat.radius * factor
    radius = min(radius, Fraction(1)) if threat.ball.pixelwise else radius
    return Threat(threat.norm, radius, threat.ball.spelled(radius))


def wide(case: Case, radius: float) -> Threat:
    """The ball in which every pixel may change by `radius`, in the norm of the case."""
    eps = radius * case.threat.ball.diagonal(case.images.pixels[0].numel())
    return Threat(case.threat.norm, Fraction(eps), f"{eps:.4g}")
