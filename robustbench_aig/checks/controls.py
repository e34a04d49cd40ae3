"""Controls: an attack where the answer is known, and the accuracy that the run recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Attack
from robustbench_aig.attacks.objectives import build_objective
from robustbench_aig.checks.case import Case
from robustbench_aig.checks.check_class import Check
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.gate_gradients import parts_of
from robustbench_aig.checks.thresholds import Limits, percent
from robustbench_aig.checks.weak_rivals import varied
from robustbench_aig.evaluation import Images, Subject
from robustbench_aig.models import profile_macs
from robustbench_aig.norms import Ball
from robustbench_aig.randomness import seed_of
from robustbench_aig.recipes import ClassObjective
from robustbench_aig.threat import Threat


class Linear(nn.Module):
    """Random linear logits of an image.

    Args:
        weights: (classes, pixels).
    """

    weights: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes)."""
        logits: Tensor = (x.flatten(1) - 0.5) @ self.weights.T
        return logits

    def reach(self, x: Tensor, y: Tensor, ball: Ball) -> Tensor:
        """(B,) the smallest change that makes an image (B, C, H, W) of class y another: min over j of margin / |w|*.

        |w|* is the dual norm of the difference of two classes' weights. No pixel may meet an end of its range.
        """
        apart = self.weights[y][:, None] - self.weights[None]  # (B, classes, pixels)
        logits: Tensor = self(x)
        distance = (logits.gather(1, y[:, None]) - logits) / ball.dual(apart)
        nearest: Tensor = distance.scatter(1, y[:, None], torch.inf).amin(1)
        return nearest


@dataclass(frozen=True)
class PositiveControl(Check):
    """The attack on linear networks, where the closed form says which images can be broken.

    The images are those of the case at a quarter of their contrast, so that no pixel meets an end of its range, with
    the network's own predictions of two classes for labels. The ball is the one that breaks half of them; an attack may
    miss what it breaks by less than `slack`.

    Attributes:
        slack: share of epsilon.
    """

    slack: float = 0.05

    name: ClassVar[str] = "positive-control"
    title: ClassVar[str] = "The attack breaks a linear network"
    asks: ClassVar[str] = "Does the attack break every image of a linear network that can be broken?"
    advice: ClassVar[str] = "Fix the attack: it misses what a closed form finds."
    limits: ClassVar[Limits] = Limits(0.05, 0.15)

    def __call__(self, case: Case) -> Finding:
        """Count, of the images that can be broken, those that hold."""
        linear, images, reach = self._linear(case)
        attack = binary(case)
        eps = min(reach.median().item() / (1 - self.slack), 0.37)
        threat = Threat(case.threat.norm, Fraction(eps), f"{eps:.4g}")
        breakable = images.pick((reach < (1 - self.slack) * threat.value).nonzero()[:, 0])
        if not len(breakable):
            return self.unfit("no image of the linear network can be broken")
        held = linear.outcome(attack, breakable, threat).held
        count = int(held.sum())
        evidence = (
            f"of {len(breakable)} images of a linear network that can be broken at {threat}, {count} are still right"
        )
        return self.found(count, len(breakable), evidence)

    def _linear(self, case: Case) -> tuple[Case, Images, Tensor]:
        """The case of a linear network; its images; and how near its decisions are to each."""
        pixels = 0.5 + (case.images.pixels[: self.images] - 0.5) / 4
        generator = torch.Generator().manual_seed(seed_of("checks", case.seed, self.name))
        weights = torch.randn(2, pixels[0].numel(), generator=generator).to(pixels)
        model = Linear(weights).to(pixels.device).eval()
        with torch.no_grad():
            labels = model(pixels).argmax(1)
            reach = model.reach(pixels, labels, case.threat.ball)
        images = Images(pixels, labels, case.images.ids[: self.images])
        shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
        subject = Subject("linear", model, profile_macs(model, shape), "none")
        return replace(case, subject=subject, images=images, others=(), recorded=None), images, reach


def binary(case: Case) -> Attack:
    """The attack under examination, on the margin where its own objective compares more than two logits."""
    compares = build_objective(parts_of(case)[1]).classes
    return varied(case, objective=ClassObjective(name="margin")) if compares > 2 else case.attack


@dataclass(frozen=True)
class CleanAccuracy(Check):
    """Clean images against the accuracy that the run recorded on its test set.

    Attributes:
        more: errors above the recorded share up to which it's a pass, and above which it's a fail.
    """

    images: int = 1000
    more: tuple[float, float] = (0.01, 0.05)

    name: ClassVar[str] = "clean-accuracy"
    title: ClassVar[str] = "Clean accuracy is as recorded"
    asks: ClassVar[str] = "Is the network as accurate on clean images as when it was trained?"
    advice: ClassVar[str] = (
        "Look for pixels that are scaled or normalised twice, other images, another gate policy, or other weights."
    )
    limits: ClassVar[Limits] = Limits(0.01, 0.05)

    def __call__(self, case: Case) -> Finding:
        """Count the images that are classified wrong."""
        if case.recorded is None:
            return self.unfit("the accuracy isn't recorded")
        right, of = case.recorded
        wrong = 1 - right / of
        warn, fail = (min(wrong + more, 0.99) for more in self.more)
        scores = case.clean[: self.images]
        count = int((scores < 0.5).sum())
        evidence = (
            f"{percent(1 - count / len(scores))} of {len(scores)} images are right; recorded {percent(right / of)}"
        )
        return self.found(count, len(scores), evidence, {"recorded": right / of}, Limits(warn, fail))

    def cost(self, case: Case) -> Cost:
        """A judgement."""
        return Cost(forwards=min(self.images, len(case.images)) * (2 * case.draws if case.subject.random else 1))
