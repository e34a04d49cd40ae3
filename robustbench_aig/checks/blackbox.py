"""Attacks that ask for no gradient of the network must not beat those that do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from robustbench_aig.attacks import Attack, Pgd, View, build_attack
from robustbench_aig.attacks.attack_interface import OwnAttack
from robustbench_aig.attacks.attack_problem import Problem, margin
from robustbench_aig.attacks.fgsm_and_pgd import random_start
from robustbench_aig.attacks.transfer import Transfer
from robustbench_aig.checks.case import ITSELF, Case
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.gate_modes import GateModes
from robustbench_aig.checks.search import Losses
from robustbench_aig.checks.thresholds import Limits
from robustbench_aig.checks.weak_rivals import Rivals
from robustbench_aig.evaluation import Images
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import ClassObjective, EvolutionMode, PgdRecipe
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_attack


@dataclass(frozen=True)
class Outsiders(Rivals):
    """Rivals that ask for no gradient of the network, against all attacks that do.

    Attributes:
        union: whether other losses and other gradients past the gates are believed, too.
        known: images that the attack breaks, so that they can be broken, which rivals are given as well; 0 for none.
        power: share of them that the rivals must break, or that they break no others says nothing.
    """

    union: bool = True
    known: int = 0
    power: float = 0.05

    def look(self, case: Case, images: Images) -> Finding:
        """Give the rivals what the believed attacks have left; a pass takes rivals that could have found something."""
        finding = super().look(case, images)
        outcome = case.outcome(case.attack, images)
        if not self.known or finding.status != "pass" or not outcome.held.any():
            return finding
        lost = images.pick(outcome.lost.nonzero()[: self.known, 0])
        if not len(lost):
            return self.unfit(f"the attack breaks no image at {case.threat}, so a comparison there means nothing")
        rivals = self.rivals(case)
        assert not isinstance(rivals, str)  # there were some to pass against
        found = int(torch.stack([case.outcome(rival, lost).lost for rival in rivals.values()]).any(0).sum())
        evidence = f"{finding.evidence}; of {len(lost)} images that the attack breaks, the other attacks break {found}"
        if found < self.power * len(lost):
            return self.unfit(f"{evidence}; too weak for a pass to mean anything")
        return replace(finding, evidence=evidence, numbers={**finding.numbers, "power": found / len(lost)})

    def believed(self, case: Case) -> Sequence[Attack]:
        """The rivals of `Losses` and `GateModes`."""
        found = [check.rivals(case) for check in (Losses(), GateModes())] if self.union else []
        return [attack for rivals in found if not isinstance(rivals, str) for attack in rivals.values()]


@dataclass(frozen=True)
class BlackBox(Outsiders):
    """Square, and PGD whose gradients are differences of the loss (what brought down k-winners-take-all).

    Attributes:
        queries: images that Square may ask for.
        pairs: of points per step of the other, for 20 steps.
    """

    queries: int = 1000
    pairs: int = 25
    known: int = 16

    name: ClassVar[str] = "black-box"
    title: ClassVar[str] = "Black-box attacks break no more"
    asks: ClassVar[str] = "Does the attack break every image that attacks without gradients break?"
    advice: ClassVar[str] = (
        "The gradient is masked: attack through a surrogate, and include black-box attacks in the worst case."
    )
    limits: ClassVar[Limits] = Limits(0.02, 0.05)

    def rivals(self, case: Case) -> Mapping[str, Attack]:
        """Both."""
        return {
            "square": build_attack(find_attack(f"square-torchattacks:queries={self.queries}")[1].attack),
            "evolution": Pgd(PgdRecipe(gates=EvolutionMode(draws=self.pairs), objective=ClassObjective(name="margin"))),
        }

    def cost(self, case: Case) -> Cost:
        """The queries of Square, as if nothing were lost."""
        return Cost(forwards=self.queries * self.images)


@dataclass(frozen=True)
class RandomSearch(OwnAttack):
    """The best of many random points of the ball, in turn from its inside and from its corners.

    Attributes:
        draws: number of points.
    """

    draws: int = 100

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The point with the lowest margin."""
        problem = Problem(model, x, y, threat, stream)
        best, lowest = x, torch.full_like(x[:, 0, 0, 0], torch.inf)
        for draw in range(self.draws):
            own = stream.child(draw)
            inside = draw % 2 == 0
            point = random_start(x, threat, own) if inside else threat.corner(x, own.uniform(*x.shape[1:]))
            with torch.no_grad():
                found = margin(problem.look(point, model.policy.drawn(own.child(2)), "sparse").logits, y)
            better = found < lowest
            best = torch.where(better.view(-1, 1, 1, 1), point, best)
            lowest = torch.where(better, found, lowest)
        return best


@dataclass(frozen=True)
class RandomNoise(Outsiders):
    """The best of many random points of the ball.

    Attributes:
        draws: number of points.
    """

    draws: int = 100

    name: ClassVar[str] = "random-noise"
    title: ClassVar[str] = "Random noise breaks no more"
    asks: ClassVar[str] = "Does the attack break every image that random noise breaks?"
    advice: ClassVar[str] = "Do not trust this attack: random noise finds more."
    limits: ClassVar[Limits] = Limits(0.01, 0.05)

    def rivals(self, case: Case) -> Mapping[str, Attack]:
        """Noise."""
        return {f"{self.draws} draws of noise": RandomSearch(self.draws)}

    def cost(self, case: Case) -> Cost:
        """The draws on the copy; a pass without a gradient takes half the time of one with."""
        return Cost(gradients=self.draws * self.images / 2)


@dataclass(frozen=True)
class TransferGap(Outsiders):
    """The same attack on other networks, whose images this one gets (Papernot et al., arXiv 1605.07277)."""

    known: int = 32

    name: ClassVar[str] = "transfer"
    title: ClassVar[str] = "Transferred attacks break no more"
    asks: ClassVar[str] = "Does the attack break every image that attacks on other networks break?"
    advice: ClassVar[str] = (
        "The gradient is masked: include transferred attacks in the worst case, and look for a better surrogate."
    )
    limits: ClassVar[Limits] = Limits(0.02, 0.05)

    def rivals(self, case: Case) -> Mapping[str, Attack] | str:
        """One per other network."""
        if not case.others:
            return "no other network was named"
        return {other.name: Transfer(Pgd(PgdRecipe()), other.model, other.deployed()) for other in case.others}

    def cost(self, case: Case) -> Cost:
        """The attacks on the other networks."""
        return Cost(gradients=ITSELF * PgdRecipe().steps * len(case.others) * self.images)
