"""Attacks that should break nothing that the attack under examination leaves, and what it means if they do."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from robustbench_aig.attacks import Attack, Pgd
from robustbench_aig.attacks.fgsm_and_pgd import GradientAttack
from robustbench_aig.checks.case import Case
from robustbench_aig.checks.check_class import OnRight
from robustbench_aig.checks.finding import Finding
from robustbench_aig.evaluation import Images
from robustbench_aig.recipes import PgdRecipe
from robustbench_aig.threat import Threat


@dataclass(frozen=True)
class Rivals(OnRight):
    """Counts the images that a rival breaks, and none of the attacks that are believed.

    On a random network an image counts that is clearly lost to a rival, and clearly held against the others, over
    fresh draws.
    """

    def look(self, case: Case, images: Images) -> Finding:
        """Give the rivals what the believed attacks have left."""
        rivals = self.rivals(case)
        if isinstance(rivals, str):
            return self.unfit(rivals)
        left = images.pick(case.outcome(case.attack, images).held.nonzero()[:, 0])
        held = torch.ones_like(left.labels, dtype=torch.bool)
        for attack in self.believed(case):
            held &= case.outcome(attack, left).held
        left = left.pick(held.nonzero()[:, 0])
        lost = {name: case.outcome(rival, left).lost for name, rival in rivals.items()}
        won = {name: int(of_rival.sum()) for name, of_rival in lost.items()}
        count = int(torch.stack(list(lost.values())).any(0).sum()) if lost else 0
        said = ", ".join(f"{name} {number}" for name, number in won.items() if number) or "none"
        evidence = f"{len(left)} of {len(images)} images are still right; of these other attacks break: {said}"
        return self.found(count, len(images), evidence, {name: number / len(images) for name, number in won.items()})

    def believed(self, case: Case) -> Sequence[Attack]:
        """Attacks beside the one under examination that the rivals have to beat as well."""
        return ()

    @abstractmethod
    def rivals(self, case: Case) -> Mapping[str, Attack] | str:
        """Attacks by name, or why there are none."""

    def attacks(self, case: Case) -> Sequence[tuple[Attack, Threat]]:
        """All of them."""
        rivals = self.rivals(case)
        if isinstance(rivals, str):
            return ()
        return [(attack, case.threat) for attack in (case.attack, *self.believed(case), *rivals.values())]


def varied(case: Case, **settings: Any) -> GradientAttack:  # noqa: ANN401 - whatever keys its recipe has
    """The attack under examination with other settings; PGD with them where it is none of our gradient attacks."""
    attack = case.attack if isinstance(case.attack, GradientAttack) else Pgd(PgdRecipe())
    return attack.changed(**settings)
