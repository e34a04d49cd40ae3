"""The binarization test: an attack must find adversarial images that are known to exist.

After R. Zimmermann, W. Brendel, F. Tramèr and N. Carlini, "Increasing confidence in adversarial robustness
evaluations", NeurIPS 2022 (arXiv 2206.13991), written from the description: the network's features stay, and for every
image a new linear layer on top tells one point on the surface of its ball from points inside of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor, nn

from robustbench_aig.attacks.fgsm_and_pgd import random_start
from robustbench_aig.checks.blackbox import RandomSearch
from robustbench_aig.checks.case import Case, over
from robustbench_aig.checks.check_class import OnRight
from robustbench_aig.checks.controls import binary
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.thresholds import Limits, percent
from robustbench_aig.checks.whole_passes import logits_of
from robustbench_aig.evaluation import Images, Subject
from robustbench_aig.gating import Argmax, Open, gating
from robustbench_aig.norms import Ball
from robustbench_aig.policy_traits import traits
from robustbench_aig.threat import Threat

_INSIDE = Fraction(95, 100)
"""Points inside the ball are at most this share of epsilon away."""

_GAP = 0.1
"""Where the threshold is: this share of the way from the planted point down to the points inside. Nearer to those, and
any corner of the ball would pass it."""

_SPAN = 10.0
"""Of the scores, from the middle of the points inside up to the planted one: far from where a softmax saturates."""


@dataclass(frozen=True)
class Binarization(OnRight):
    """The attack under examination on such networks; random gates take their likelier side.

    Attributes:
        inner: points inside of every ball, beside the image itself.
        easy: share of images for which a random search succeeds, above which to pass says nothing.
    """

    images: int = 64
    inner: int = 100
    easy: float = 0.5

    name: ClassVar[str] = "binarization"
    title: ClassVar[str] = "The attack finds planted adversarial images"
    asks: ClassVar[str] = "Does the attack find an adversarial image that is known to be in the ball?"
    advice: ClassVar[str] = "The attack is too weak for this network: try other gradients, losses and searches."
    limits: ClassVar[Limits] = Limits(0.05, 0.15)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images for which it doesn't."""
        made = planted(case, images, self.inner)
        if isinstance(made, str):
            return self.unfit(made)
        missed = int((~made.outcome(binary(case), made.images).lost).sum())
        by_chance = made.outcome(RandomSearch(self.inner), made.images).lost.double().mean().item()
        n = len(made.images)
        evidence = (
            f"the attack misses {missed} of {n} planted images, a random search with {self.inner} points misses "
            f"{percent(1 - by_chance)}; for {len(images) - n} images nothing could be planted"
        )
        finding = self.found(missed, n, evidence, {"random search": by_chance})
        if by_chance > self.easy and finding.status == "pass":
            return self.unfit(f"{evidence}; too easy for a pass to mean anything")
        return finding

    def cost(self, case: Case) -> Cost:
        """Features of the points, the attack, and a random search on the copy."""
        attack = case.cost(case.attack, self.images)
        forwards = (self.inner + 2) * self.images + 3 * attack.forwards
        return Cost(forwards, attack.gradients + self.images * self.inner / 2)


class Binarized(nn.Module):
    """The features of a network below a binary linear layer for every image, which is known by its nearest centre.

    Args:
        model: the network.
        clean: (N, C, H, W), the centres of balls that do not meet.
        ball: what their norm decides.
        weights: (N, features) of the layers.
        thresholds: (N,) scores above which a point is of class 1.
    """

    clean: Tensor
    weights: Tensor
    thresholds: Tensor

    def __init__(self, model: nn.Module, clean: Tensor, ball: Ball, weights: Tensor, thresholds: Tensor) -> None:
        super().__init__()
        self.model = model
        self._ball = ball
        for name, value in (("clean", clean), ("weights", weights), ("thresholds", thresholds)):
            self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        """Points (B, C, H, W) of any of the balls to logits (B, 2)."""
        owner = distances(x.detach(), self.clean, self._ball).argmin(1)
        score = (features_of(self.model, x) * self.weights[owner]).sum(1) - self.thresholds[owner]
        return torch.stack([torch.zeros_like(score), score], 1)


def planted(case: Case, images: Images, inner: int) -> Case | str:
    """The case of a binarized network, with those images for which it works; or why there is none."""
    does = traits(case.subject.policy)
    steady = Argmax.name if does.looks else Open.name
    subject = replace(case.subject, policy=steady if does.draws else case.subject.policy)
    if head_of(subject, images.pixels[:1]) is None:
        return "the network doesn't end with a linear layer"
    apart = distances(images.pixels, images.pixels, case.threat.ball).fill_diagonal_(torch.inf)
    images = images.pick((apart.amin(1) > 2.1 * case.threat.value).nonzero()[:, 0])
    if not len(images):
        return f"the balls of {case.threat} around the images meet"
    points = _points(case, images, inner)
    features = over(lambda part: torch.stack([_features(subject, one[part]) for one in points], 1), len(images))
    weights, thresholds, works = separate(features[:, :-1], features[:, -1])
    chosen = works.nonzero()[:, 0]
    if not len(chosen):
        return "no point could be distinguished from those around it"
    images, weights, thresholds = images.pick(chosen), weights[chosen], thresholds[chosen]

    def binarized(model: nn.Module) -> nn.Module:
        return Binarized(model, images.pixels, case.threat.ball, weights, thresholds).eval()

    made = replace(
        subject,
        model=binarized(subject.model),
        copy=None if subject.copy is None else binarized(subject.copy),
        routes=None,
    )
    zeros = Images(images.pixels, torch.zeros_like(images.labels), images.ids)
    return replace(case, subject=made, images=zeros, others=(), recorded=None)


def distances(x: Tensor, others: Tensor, ball: Ball) -> Tensor:
    """(B, N) from each of B images to each of N others, in the norm of a ball."""
    return torch.cdist(x.flatten(1), others.flatten(1), p=ball.p)


def separate(inside: Tensor, planted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A linear layer for every image that tells one point from others: regularised linear discriminants.

    Args:
        inside: (N, P, D) features of the points inside.
        planted: (N, D) those of the other point.

    Returns:
        Weights (N, D) and thresholds (N,) of the score; and (N,) bool, whether it tells them apart.
    """
    inside, planted = inside.double(), planted.double()
    centre = inside.mean(1, keepdim=True)
    spread, target = inside - centre, planted - centre[:, 0]
    points = spread.shape[1]
    kernel = spread @ spread.mT / points
    ridge = (1e-3 * kernel.diagonal(dim1=1, dim2=2).mean(1)).clamp_min(1e-12)
    identity = torch.eye(points, dtype=kernel.dtype, device=kernel.device)
    # Woodbury: of as many equations as there are points, however many features.
    solved = torch.linalg.solve(kernel + ridge[:, None, None] * identity, (spread @ target[:, :, None]) / points)
    weights = target - (spread.mT @ solved)[:, :, 0]
    own = (target * weights).sum(1)
    apart = own - (spread @ weights[:, :, None])[:, :, 0].amax(1)
    weights = weights * (_SPAN / own.clamp_min(1e-30))[:, None]
    threshold = (planted * weights).sum(1) - _GAP * apart * _SPAN / own.clamp_min(1e-30)
    return weights.float(), threshold.float(), apart > 0


def _points(case: Case, images: Images, inner: int) -> list[Tensor]:
    """The images, points inside of their balls, and one on the surface of each; all (N, C, H, W)."""
    stream, threat = case.stream(images, "binarization"), case.threat
    within = Threat(threat.norm, threat.radius * _INSIDE, threat.eps)
    inside = [random_start(images.pixels, within, stream.child(number)) for number in range(inner)]
    surface = threat.corner(images.pixels, stream.child(inner).uniform(*images.pixels.shape[1:]))
    return [images.pixels, *inside, surface]


def head_of(subject: Subject, x: Tensor) -> nn.Linear | None:
    """The last linear layer that a pass over images asks."""
    called: list[nn.Linear] = []
    layers = [module for module in subject.model.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_hook(lambda layer, *_: called.append(layer)) for layer in layers]
    try:
        logits_of(subject.model, x, subject.deployed())
    finally:
        for hook in hooks:
            hook.remove()
    return called[-1] if called else None


def features_of(model: nn.Module, x: Tensor) -> Tensor:
    """(B, D) what a network's last linear layer is given, with a gradient."""
    found: list[Tensor] = []
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0])) for layer in layers]
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found[-1].flatten(1)


@torch.no_grad()
def _features(subject: Subject, x: Tensor) -> Tensor:
    with gating(subject.model, subject.deployed(), execution="sparse"):
        return features_of(subject.model, x)
