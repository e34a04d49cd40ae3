"""The attack's way to its result: has it arrived, and did it pass a success and leave it again?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from robustbench_aig.attacks.fgsm_and_pgd import GradientAttack
from robustbench_aig.attacks.gradient_modes import Estimate
from robustbench_aig.checks.case import AT_ONCE, ITSELF, Case, whole
from robustbench_aig.checks.check_class import OnRight
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.thresholds import Limits, percent
from robustbench_aig.evaluation import Images
from robustbench_aig.recipes import DeployedMode


@dataclass(frozen=True)
class Convergence(OnRight):
    """Whether the loss still rises when the attack ends (indicator I4 of Pintor et al. 2022).

    The highest value so far, over the range of all values, may not rise by more than `rise` in the last steps: in a
    fifth of them, and at most ten. Images that the attack saw misclassified need no more of it, so the others are
    counted. On a random network the attack knows the noise, which is held: luck would look like progress.

    Attributes:
        rise: share of the range.
    """

    rise: float = 0.05

    name: ClassVar[str] = "convergence"
    title: ClassVar[str] = "The loss has converged"
    asks: ClassVar[str] = "For images that the attack does not break, has its loss stopped rising?"
    advice: ClassVar[str] = "Give the attack more steps, or larger ones: it stopped too early."
    limits: ClassVar[Limits] = Limits(0.1, 0.3)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images on which the attack fails and was still on its way."""
        attack = tracked(case.attack)
        if isinstance(attack, str):
            return self.unfit(attack)
        if case.subject.random:
            attack = attack.changed(gates=DeployedMode(mode="frozen-noise"))
        way = way_of(case, attack, images)
        values = way.values.cummax(0).values
        last = min(10, len(values) // 5)
        if not last:
            return self.unfit(f"{len(values)} steps are too few to decide")
        extent = values[-1] - way.values.amin(0)
        rising = (values[-1] - values[-1 - last]) > self.rise * extent
        failed = (way.margins > 0).all(0)
        count, n = int((rising & failed).sum()), int(failed.sum())
        evidence = (
            f"the loss of {count} of {n} images that were never misclassified rose by more than {percent(self.rise)} "
            f"of its range in the last {last} of {len(values)} steps"
        )
        return self.found(count, n, evidence) if n else self.unfit("the attack misclassifies every image")

    def cost(self, case: Case) -> Cost:
        """The attack, on the network itself."""
        return Cost(gradients=ITSELF * case.cost(case.attack, self.images).gradients)


@dataclass(frozen=True)
class SilentSuccess(OnRight):
    """Whether an earlier iterate was a success and what is returned isn't (indicator I3 of Pintor et al. 2022).

    The iterate with the lowest margin is judged as the returned one is: on a random network over fresh draws.
    """

    name: ClassVar[str] = "silent-success"
    title: ClassVar[str] = "The attack returns its successes"
    asks: ClassVar[str] = "Does the attack return an adversarial image whenever it finds one?"
    advice: ClassVar[str] = "Let the attack return its best iterate, not its last (keep=best)."
    limits: ClassVar[Limits] = Limits(0.01, 0.05)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images that were lost on the way and hold in the end."""
        attack = tracked(case.attack)
        if isinstance(attack, str):
            return self.unfit(attack)
        way = way_of(case, attack, images)
        passed, returned = case.judged(way.best, images), case.judged(way.returned, images)
        count, n = int((passed.lost & returned.held).sum()), len(images)
        evidence = (
            f"{int(passed.lost.sum())} of {n} images were misclassified at some step, {count} of them not at the end"
        )
        return self.found(count, n, evidence)

    def cost(self, case: Case) -> Cost:
        """The attack, on the network itself, judged twice."""
        one = case.cost(case.attack, self.images)
        return Cost(2 * one.forwards, ITSELF * one.gradients)


class Notes:
    """What is estimated over the steps of an attack on n images.

    Attributes:
        values, margins: of each step, (n,).
        best: (n, C, H, W), the iterates with the lowest margins.
    """

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.margins: list[Tensor] = []
        self.best = torch.empty(0)
        self._lowest = torch.empty(0)

    def add(self, adv: Tensor, found: Estimate) -> None:
        """One more step, from images (n, C, H, W)."""
        if not self.values:
            self.best, self._lowest = adv, found.margin
        self.values.append(found.value)
        self.margins.append(found.margin)
        better = found.margin < self._lowest
        self.best = torch.where(better.view(-1, 1, 1, 1), adv, self.best)
        self._lowest = torch.minimum(found.margin, self._lowest)


@dataclass(frozen=True)
class Way:
    """The way of an attack to N images.

    Attributes:
        values: (steps, N) of the objective.
        margins: (steps, N) by the attack's own passes.
        best: (N, C, H, W) the iterate with the lowest of them.
        returned: (N, C, H, W).
    """

    values: Tensor
    margins: Tensor
    best: Tensor
    returned: Tensor


def tracked(attack: object) -> GradientAttack | str:
    """An attack whose way can be seen, or why it can't."""
    if not isinstance(attack, GradientAttack):
        return "the steps of attacks other than our gradient attacks are not recorded"
    if getattr(attack.recipe, "keep", "last") == "first" or getattr(attack.recipe, "restarts", 1) > 1:
        return "the attack stops at its first success, or restarts"
    return attack


def way_of(case: Case, attack: GradientAttack, images: Images) -> Way:
    """The way of an attack on the network itself; what it says of a lower precision would be another one."""
    all_notes, returned = [], []
    for start in range(0, len(images), AT_ONCE):
        notes = Notes()
        watched = replace(attack, watch=notes.add)
        some = images.pick(slice(start, start + AT_ONCE))
        returned.append(whole(watched, case.results(watched, some, case.threat, copy=False)))
        all_notes.append(notes)
    return Way(
        torch.cat([torch.stack(notes.values) for notes in all_notes], 1),
        torch.cat([torch.stack(notes.margins) for notes in all_notes], 1),
        torch.cat([notes.best for notes in all_notes]),
        torch.cat(returned),
    )
