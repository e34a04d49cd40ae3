"""Does every image, and every restart, begin at a point of its own?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Attack
from robustbench_aig.attacks.fgsm_and_pgd import GradientAttack
from robustbench_aig.checks.case import Case, whole
from robustbench_aig.checks.check_class import Check
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.thresholds import Limits
from robustbench_aig.evaluation import Images, Subject
from robustbench_aig.models import profile_macs
from robustbench_aig.randomness import seed_of
from robustbench_aig.recipes import ClassObjective
from robustbench_aig.threat import Threat

_SAME = 1e-3
"""Two points are one where no pixel is further apart than this share of epsilon."""

_AWAY = 0.1
"""An attack that stays nearer, as a share of epsilon, began at the image itself."""


class Flat(nn.Module):
    """A network without a slope: whoever follows its gradient stays where he is.

    Its margins are others at every point, so that an attack can tell which of its restarts is best.

    Args:
        weights: (pixels,) that make a number of an image.
        classes: number of logits; the first is the label's.
        lost: share of points whose margin is negative.
    """

    weights: Tensor

    def __init__(self, weights: Tensor, classes: int, lost: float) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.classes, self.lost = classes, lost

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes), attached to the graph."""
        margin = (x.detach().flatten(1) @ self.weights).frac().abs() - self.lost
        places = torch.arange(self.classes, device=x.device)
        # The others lie apart from each other, as losses on ratios of logits need it.
        logits: Tensor = -margin[:, None] * (places > 0) - (places - 1).clamp_min(0) + 0 * x.sum((1, 2, 3))[:, None]
        return logits


@dataclass(frozen=True)
class DistinctStarts(Check):
    """What the attack returns on a flat network, which is where it started.

    The images are those of the case at a quarter of their contrast, so that no pixel meets an end of its range. One of
    ours with restarts takes few steps from several points; which of them it returns is a lot, so that it mustn't be
    the first one twice. An attack that returns nothing but what is lost is given a network that loses half of them.

    Attributes:
        restarts: of ours.
        chance: share of the other images with which one may have its start in common: there may be few starts.
    """

    restarts: int = 16
    chance: float = 0.05

    name: ClassVar[str] = "distinct-starts"
    title: ClassVar[str] = "Every image and restart has its own start"
    asks: ClassVar[str] = "Does the attack start at a different point of the ball for every image and every restart?"
    advice: ClassVar[str] = "Draw a new start for every image and restart: repeating the same start finds nothing new."
    limits: ClassVar[Limits] = Limits(0.05, 0.2)

    def __call__(self, case: Case) -> Finding:
        """Count the images whose start is that of another image, of another seed, or of every restart."""
        # What is raised decides no start, and may be about gates.
        own = case.attack
        attack = own.changed(objective=ClassObjective(name="margin")) if isinstance(own, GradientAttack) else own
        for lost in (0.0, 0.5):
            flat, other = (_flat(case, self.images, case.seed + number, lost) for number in range(2))
            start = _moved(flat, attack)
            moved = flat.threat.distance(start, torch.zeros_like(start)) > _AWAY * flat.threat.value
            if bool(moved.any()):
                return self._compared(attack, (flat, other), start, moved)
        return self.unfit("the attack starts at the image itself")

    def _compared(self, attack: Attack, cases: tuple[Case, Case], start: Tensor, moved: Tensor) -> Finding:
        reach = _SAME * cases[0].threat.value
        own = start[moved]
        alike = torch.cdist(own, own, p=torch.inf).fill_diagonal_(torch.inf) <= reach
        shared = alike.double().mean(1) > self.chance
        fixed = (own - _moved(cases[1], attack)[moved]).abs().amax(1) <= reach
        stuck = self._stuck(attack, cases, reach)[moved]
        count, n = int((shared | fixed | stuck).sum()), len(own)
        evidence = (
            f"of {n} images {int(shared.sum())} start where another image does, {int(fixed.sum())} start at the same "
            f"point with another seed, and {int(stuck.sum())} at the same point in all restarts"
        )
        return self.found(count, n, evidence)

    def _stuck(self, attack: Attack, cases: tuple[Case, ...], reach: float) -> Tensor:
        """(N,) bool: whether the best of several restarts is the first one, in both cases."""
        if not (isinstance(attack, GradientAttack) and hasattr(attack.recipe, "restarts")):
            return torch.zeros(len(cases[0].images), dtype=torch.bool, device=cases[0].images.ids.device)
        changes = {"steps": 2} if hasattr(attack.recipe, "steps") else {}
        one, several = (attack.changed(restarts=number, **changes) for number in (1, self.restarts))
        same = [(_moved(case, one) - _moved(case, several)).abs().amax(1) <= reach for case in cases]
        return torch.stack(same).all(0)


def _flat(case: Case, images: int, seed: int, lost: float) -> Case:
    """The case of a flat network, on which so large a share of all points is lost."""
    pixels = 0.5 + (case.images.pixels[:images] - 0.5) / 4
    generator = torch.Generator().manual_seed(seed_of("checks", case.seed, "flat"))
    weights = 1000 * torch.randn(pixels[0].numel(), generator=generator).to(pixels)
    model = Flat(weights, case.classes, lost).to(pixels.device).eval()
    shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
    threat = case.threat if case.threat.value <= 0.37 else Threat(case.threat.norm, Fraction(37, 100), "0.37")
    subject = Subject("flat", model, profile_macs(model, shape), "none")
    labels = torch.zeros_like(case.images.labels[:images])
    return replace(
        case, subject=subject, images=Images(pixels, labels, case.images.ids[:images]), threat=threat, seed=seed
    )


def _moved(case: Case, attack: Attack) -> Tensor:
    """(N, pixels) by how much an attack has changed the images."""
    found = whole(attack, case.results(attack, case.images, case.threat))
    return (found - case.images.pixels).flatten(1)
