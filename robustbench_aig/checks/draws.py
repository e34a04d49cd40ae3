"""What the noise of random gates does for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from robustbench_aig.attacks import Attack
from robustbench_aig.attacks.attack_problem import START
from robustbench_aig.checks.budget import wide
from robustbench_aig.checks.case import Case, over, whole
from robustbench_aig.checks.check_class import OnNoise
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.thresholds import Limits, percent
from robustbench_aig.checks.weak_rivals import varied
from robustbench_aig.checks.whole_passes import logits_of
from robustbench_aig.evaluation import Images
from robustbench_aig.recipes import DeployedMode
from robustbench_aig.threat import Threat


@dataclass(frozen=True)
class FixedRandomness(OnNoise):
    """The attack knows the one draw of noise that its images are then judged under (Carlini et al., arXiv 1902.06705).

    What is left is a deterministic network, which in a ball that reaches the grey image has nothing to hold on to.
    """

    name: ClassVar[str] = "fixed-randomness"
    title: ClassVar[str] = "With known noise the network can be broken"
    asks: ClassVar[str] = "Does the attack break every image at a large ε if the noise is fixed and known to it?"
    advice: ClassVar[str] = "The attack is wrong even without noise: fix it before using more draws."
    limits: ClassVar[Limits] = Limits(0.05, 0.2)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images that hold."""
        threat = wide(case, 0.5)
        count = int(self._right(case, images, threat).sum())
        known = self._right(case, images, case.threat).double().mean().item()
        fresh = case.outcome(case.attack, images).right.double().mean().item()
        evidence = (
            f"with known noise {count} of {len(images)} images are still right at {threat}; at {case.threat} "
            f"{percent(known)} are right, and {percent(fresh)} over fresh draws under the attack itself"
        )
        return self.found(count, len(images), evidence, {"known": known, "fresh": fresh})

    def _right(self, case: Case, images: Images, threat: Threat) -> Tensor:
        """(N,) bool: whether the network is right about attacked images under the noise that the attack knew."""
        attack = _knowing(case)
        adv = whole(attack, case.results(attack, images, threat))

        def right(part: slice) -> Tensor:
            noise = case.stream(images.pick(part), "attack").child(START)
            found = logits_of(case.subject.model, adv[part], case.subject.deployed(noise))
            return found.argmax(1) == images.labels[part]

        return over(right, len(images))

    def cost(self, case: Case) -> Cost:
        """The attack twice with a single draw."""
        return Cost(2 * self.images, 2 * case.cost(_knowing(case), self.images).gradients)

    def attacks(self, case: Case) -> Sequence[tuple[Attack, Threat]]:
        """The one under examination."""
        return [(case.attack, case.threat)] if case.subject.random else ()


def _knowing(case: Case) -> Attack:
    """The attack under examination, told the noise."""
    return varied(case, gates=DeployedMode(mode="frozen-noise"))


@dataclass(frozen=True)
class DrawVariance(OnNoise):
    """Attacked images under many fresh draws.

    Attributes:
        draws: number of them.
    """

    draws: int = 50

    name: ClassVar[str] = "draw-variance"
    title: ClassVar[str] = "Draws agree on attacked images"
    asks: ClassVar[str] = "Is an attacked image right under all draws, or under none?"
    advice: ClassVar[str] = (
        "Report mean, majority, any and all over fresh draws, never a single draw, which is largely chance."
    )
    limits: ClassVar[Limits] = Limits(0.05, 0.2, mild=True)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images that some draws get right and others wrong."""
        adv = whole(case.attack, case.attacked(images, case.threat))
        right = over(lambda part: self._right(case, adv[part], images.pick(part)), len(images)).double()
        share, of_draw = right.mean(1), right.mean(0)
        numbers = {
            "mean": share.mean().item(),
            "majority": (share > 0.5).double().mean().item(),
            "all": (share == 1).double().mean().item(),
            "any": (share > 0).double().mean().item(),
            "lowest draw": of_draw.min().item(),
            "highest draw": of_draw.max().item(),
        }
        count = int(((share > 0) & (share < 1)).sum())
        said = ", ".join(f"{name} {percent(value)}" for name, value in numbers.items())
        return self.found(count, len(images), f"accuracy over {self.draws} draws: {said}", numbers)

    def _right(self, case: Case, adv: Tensor, images: Images) -> Tensor:
        """(B, K) bool."""
        stream = case.stream(images, self.name)
        draws = (case.subject.deployed(stream.child(draw)) for draw in range(self.draws))
        return torch.stack([logits_of(case.subject.model, adv, one).argmax(1) == images.labels for one in draws], 1)

    def cost(self, case: Case) -> Cost:
        """The draws."""
        return Cost(forwards=self.draws * self.images)

    def attacks(self, case: Case) -> Sequence[tuple[Attack, Threat]]:
        """The one under examination."""
        return [(case.attack, case.threat)] if case.subject.random else ()


@dataclass(frozen=True)
class FreshDraws(OnNoise):
    """The same attacked images, entered into a union several times over, each time under draws of their own.

    Together they are no worse than once. But the smallest of several noisy scores lies below every one of their means
    (the winner's curse). If the union is free of it, fresh draws say more of an image as often as they say less.

    Attributes:
        copies: how often every image is entered.
        draws: that score one of them.
    """

    copies: int = 6
    draws: int = 5

    name: ClassVar[str] = "fresh-draws"
    title: ClassVar[str] = "The worst case is not the unluckiest draw"
    asks: ClassVar[str] = "Do fresh draws confirm the worst case over attacks for an image?"
    advice: ClassVar[str] = (
        "Choose the worst attack for an image on some draws and score it on others: a minimum over noisy scores is too "
        "low by chance."
    )
    limits: ClassVar[Limits] = Limits(0.65, 0.8)

    def look(self, case: Case, images: Images) -> Finding:
        """Count, of the images on which union and fresh draws differ, those of which fresh draws say more."""
        adv = whole(case.attack, case.attacked(images, case.threat))
        short = replace(case, draws=self.draws)
        said, fresh = over(lambda part: self._scores(short, adv[part], images.pick(part)), len(images)).unbind(1)
        differ = int((said != fresh).sum())
        if not differ:
            return self.unfit("draws agree about every attacked image")
        numbers = {"union": said.mean().item(), "fresh": fresh.mean().item()}
        evidence = (
            f"the worst case over {self.copies} scorings of the same attacked images is {percent(numbers['union'])}, "
            f"the accuracy over fresh draws {percent(numbers['fresh'])}; they differ on {differ} images"
        )
        return self.found(int((fresh > said).sum()), differ, evidence, numbers)

    def _scores(self, case: Case, adv: Tensor, images: Images) -> Tensor:
        """(B, 2) share of right draws, by the union and by fresh draws."""
        *entered, fresh = (case.verdict(adv, images, again=number) for number in range(self.copies + 1))
        return torch.stack([case.union(entered).right, fresh.correct / fresh.draws], 1).double()

    def cost(self, case: Case) -> Cost:
        """The draws; a judgement takes as many again to choose by."""
        return Cost(forwards=2 * self.draws * (self.copies + 1) * self.images)

    def attacks(self, case: Case) -> Sequence[tuple[Attack, Threat]]:
        """The one under examination."""
        return [(case.attack, case.threat)] if case.subject.random else ()
