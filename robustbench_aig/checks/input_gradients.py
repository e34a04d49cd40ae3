"""Is there a gradient, and is it that of the network?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Fgsm
from robustbench_aig.checks.case import Case, over, whole
from robustbench_aig.checks.check_class import OnRight
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.thresholds import Limits, percent
from robustbench_aig.checks.whole_passes import (
    Loss,
    cosine,
    cross_entropy,
    gradient,
    held,
    logits_of,
    margin_loss,
    zero,
)
from robustbench_aig.evaluation import Images
from robustbench_aig.recipes import FgsmRecipe

DOUBLE = 3
"""A pass in float64 takes about as long as so many in float32."""


@dataclass(frozen=True)
class ZeroGradient(OnRight):
    """Gradients that are zero for the margin as well, so that no loss gets any (indicator I1 of Pintor et al. 2022)."""

    images: int = 192

    name: ClassVar[str] = "zero-gradient"
    title: ClassVar[str] = "Every image has a gradient"
    asks: ClassVar[str] = "Does a gradient reach every image?"
    advice: ClassVar[str] = (
        "Attack through a surrogate with a gradient (BPDA), by transfer and without gradients: white-box attacks do "
        "not measure the robustness of these images."
    )
    limits: ClassVar[Limits] = Limits(0.0, 0.02)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images whose margin has no gradient."""
        found = gradients(case, case.subject.model, images, margin_loss)
        dead, zeros = zero(found), (found == 0).flatten(1).double().mean(1)
        evidence = (
            f"the margin of {int(dead.sum())} of {len(images)} images has no gradient; "
            f"{percent(zeros.mean().item())} of all its coordinates are exactly zero"
        )
        return self.found(int(dead.sum()), len(images), evidence, {"zero coordinates": zeros.mean().item()})

    def cost(self, case: Case) -> Cost:
        """A gradient."""
        return Cost(gradients=self.images)


@dataclass(frozen=True)
class Underflow(OnRight):
    """The gradient of the cross-entropy in float32 against the true one.

    Where the softmax rounds to 0 and 1 it is zero or lacks the label's part, which looks like robustness even of
    networks that were trained as usual (Lee et al. 2020). What is compared with is the same gradient in float64, or
    the margin's where that is zero, too.

    Attributes:
        agreement: cosine below which two gradients are not the same one.
    """

    agreement: float = 0.9

    name: ClassVar[str] = "cross-entropy-underflow"
    title: ClassVar[str] = "The cross-entropy does not underflow"
    asks: ClassVar[str] = "Is the gradient of the cross-entropy in float32 the same as in float64?"
    advice: ClassVar[str] = "Attack the margin or the DLR loss: robustness to the cross-entropy alone is underflow."
    limits: ClassVar[Limits] = Limits(0.1, 0.3)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images whose gradient is lost or another one."""
        single = gradients(case, case.subject.model, images, cross_entropy)
        live = ~zero(gradients(case, case.subject.model, images, margin_loss))
        lost = zero(single) & live
        other = ~zero(single) & self._is_another(case, images, single)
        evidence = (
            f"in float32 the cross-entropy of {int(lost.sum())} of {len(images)} images has no gradient although the "
            f"margin has one; for {int(other.sum())} it differs from that in float64"
        )
        return self.found(int((lost | other).sum()), len(images), evidence, {"lost": lost.double().mean().item()})

    def _is_another(self, case: Case, images: Images, single: Tensor) -> Tensor:
        """(N,) bool: whether the gradient points elsewhere in float64."""
        if case.exact is None:
            return torch.zeros_like(images.labels, dtype=torch.bool)
        double = gradients(case, case.exact, images, cross_entropy)
        return ~zero(double) & (cosine(single, double) < self.agreement)

    def cost(self, case: Case) -> Cost:
        """Two gradients, and one in float64."""
        return Cost(gradients=(2 + DOUBLE) * self.images)


@dataclass(frozen=True)
class FiniteDifferences(OnRight):
    """The slope of the margin along its gradient against a difference quotient in float64, the noise held.

    Hard gates are held as constants, since no difference quotient sees a gradient that is passed straight through.

    Attributes:
        error: relative difference above which slope and quotient disagree.
    """

    error: float = 0.5

    name: ClassVar[str] = "finite-differences"
    title: ClassVar[str] = "The gradient is the slope of the network"
    asks: ClassVar[str] = "Does the network change along its gradient as the gradient predicts?"
    advice: ClassVar[str] = (
        "Part of the network is not differentiable, or its gradient is replaced by another: attack it through a smooth "
        "surrogate and without gradients."
    )
    limits: ClassVar[Limits] = Limits(0.02, 0.1)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images on which they disagree."""
        width = self.width(case)
        if case.exact is None:
            return self.unfit("the network cannot run in float64")
        errors = self.errors(case, case.exact, images, width)
        count, median = int((errors > self.error).sum()), errors.median().item()
        evidence = (
            f"over ±{width:.2g} slope and difference quotient differ by more than {percent(self.error)} on {count} of "
            f"{len(images)} images, by {percent(median)} in the median"
        )
        return self.found(count, len(images), evidence, {"median error": median})

    def width(self, case: Case) -> float:
        """Half of the distance between a quotient's two points, in units of the pixel range."""
        return 1e-5

    def errors(self, case: Case, model: nn.Module, images: Images, width: float) -> Tensor:
        """(N,) difference of slope and quotient over the larger of the two; 1 where both are zero."""

        def error(part: slice) -> Tensor:
            some = images.pick(part)
            x, y, policy = some.pixels.double(), some.labels, case.policy(some, "gradient")
            loss = _towards(logits_of(model, x, policy).scatter(1, y[:, None], -torch.inf).argmax(1))
            found = gradient(model, x, y, held(policy), loss)
            inside = (x >= width) & (x <= 1 - width)  # a network may clip its input
            step = width * found.sign() * inside
            ahead, behind = (loss(logits_of(model, point, policy), y) for point in (x + step, x - step))
            slope, quotient = (found * step).flatten(1).sum(1), (ahead - behind) / 2
            largest = torch.maximum(slope.abs(), quotient.abs())
            return torch.where(largest > 0, (slope - quotient).abs() / largest, 1.0)

        return over(error, len(images))

    def cost(self, case: Case) -> Cost:
        """Three passes and a gradient, in float64."""
        return Cost(forwards=3 * DOUBLE * self.images, gradients=DOUBLE * self.images)


@dataclass(frozen=True)
class Shattered(FiniteDifferences):
    """The same over a sixteenth of epsilon: whether the slope holds for as far as a small step of an attack."""

    name: ClassVar[str] = "shattered-gradient"
    title: ClassVar[str] = "The gradient is valid over a step"
    asks: ClassVar[str] = "Does the gradient predict the change over a sixteenth of ε?"
    advice: ClassVar[str] = (
        "The gradient is valid only very near the image: attack with differences over larger distances "
        "(gates=evolution) and with Square."
    )
    limits: ClassVar[Limits] = Limits(0.2, 0.5)

    def width(self, case: Case) -> float:
        """A sixteenth of what epsilon is per pixel."""
        return case.threat.per_pixel(case.images.pixels[0].numel()) / 16


@dataclass(frozen=True)
class StepSaturation(OnRight):
    """How far FGSM goes where the box leaves room: a step of sign(0) = 0 goes nowhere.

    Attributes:
        reach: mean change over epsilon below which an image's step isn't a full one.
    """

    reach: float = 0.95

    name: ClassVar[str] = "step-saturation"
    title: ClassVar[str] = "FGSM uses the whole ε"
    asks: ClassVar[str] = "Does one signed step use the whole ε?"
    advice: ClassVar[str] = "Ignore the accuracy under FGSM: gradients that are exactly zero make its step too short."
    limits: ClassVar[Limits] = Limits(0.05, 0.2)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images whose step is too short."""
        threat = case.threat
        if not threat.ball.pixelwise:
            return self.unfit(
                f"a step in {threat.ball.symbol} moves each pixel by an amount that depends on its gradient"
            )
        fgsm = Fgsm(FgsmRecipe())
        change = (whole(fgsm, case.results(fgsm, images, threat)) - images.pixels).abs()
        room = (images.pixels >= threat.value) & (images.pixels <= 1 - threat.value)
        inner = room.flatten(1).any(1)
        if not bool(inner.any()):
            return self.unfit(f"no pixel is further than {threat} from the ends of the pixel range")
        reached = ((change * room).flatten(1).sum(1) / room.flatten(1).sum(1).clamp_min(1) / threat.value)[inner]
        count, mean = int((reached < self.reach).sum()), reached.mean().item()
        evidence = f"away from the ends of the pixel range FGSM moves a pixel by {percent(mean)} of ε on average"
        return self.found(count, len(reached), evidence, {"mean reach": mean})

    def cost(self, case: Case) -> Cost:
        """FGSM."""
        return Cost(gradients=self.images)


def gradients(case: Case, model: nn.Module, images: Images, loss: Loss) -> Tensor:
    """(N, C, H, W) gradients of a loss under one draw of each image's noise, in the precision of the network."""
    kind = next((parameter.dtype for parameter in model.parameters()), torch.float32)

    def one(part: slice) -> Tensor:
        some = images.pick(part)
        return gradient(model, some.pixels.to(kind), some.labels, case.policy(some, "gradient"), loss)

    return over(one, len(images))


def _towards(target: Tensor) -> Loss:
    """Logit of a class (B,) minus that of the label."""

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        return (logits.gather(1, target[:, None]) - logits.gather(1, y[:, None]))[:, 0]

    return loss
