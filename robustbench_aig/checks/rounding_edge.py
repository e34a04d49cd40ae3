"""Does a verdict hang on what rounding decides?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from robustbench_aig.attacks import Attack
from robustbench_aig.attacks.attack_problem import Pass, look, margin
from robustbench_aig.checks.case import AT_ONCE, Case, whole
from robustbench_aig.checks.check_class import OnRight
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.thresholds import Limits
from robustbench_aig.errors import NotFiniteError
from robustbench_aig.evaluation import Images
from robustbench_aig.gating import Frozen, Policy
from robustbench_aig.threat import Threat

NEAR = 1e-3
"""A gate's logit (run minus skip) below this, in absolute value, may have the other sign on another machine."""

_SHARE = 1e-5
"""Rounding as a share of the largest logit, where the network can't be computed in float64."""


@dataclass(frozen=True)
class OnTheEdge(OnRight):
    """Clean and attacked images with all their faint gate decisions turned, and with margins compared with rounding.

    Rounding is measured: the largest difference that float64, with the decisions held, makes to the margin of any of
    the images.
    """

    name: ClassVar[str] = "on-the-edge"
    title: ClassVar[str] = "Predictions do not depend on rounding"
    asks: ClassVar[str] = "Is every prediction the same with different rounding, as on another machine?"
    advice: ClassVar[str] = (
        "Other hardware may classify these images differently: report it, or train until gates decide more clearly and "
        "margins are larger."
    )
    limits: ClassVar[Limits] = Limits(0.02, 0.1)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images of which the clean or the attacked version is on the edge."""
        policy = case.subject.deployed()
        if policy.random:
            return self.unfit(f"under the policy '{case.subject.policy}' no prediction depends on a single decision")
        versions = (images.pixels, whole(case.attack, case.attacked(images, case.threat)))
        found = [edges(case, policy, pixels, images.labels) for pixels in versions]
        rounding = max(float(each.rounding.max()) for each in found)
        faint, turned, thin = (
            torch.stack(several).any(0)
            for several in zip(*((each.faint, each.turned, each.margins <= rounding) for each in found), strict=True)
        )
        count = int((turned | thin).sum())
        evidence = (
            f"of {len(images)} images, clean or attacked, {int(faint.sum())} have a gate logit below {NEAR:g}, which "
            f"decides the prediction for {int(turned.sum())}; {int(thin.sum())} have a margin of at most "
            f"{rounding:.1g}, the rounding error of this network"
        )
        numbers = {"faint": int(faint.sum()), "by a gate": int(turned.sum()), "by the margin": int(thin.sum())}
        return self.found(count, len(images), evidence, {**numbers, "rounding": rounding})

    def attacks(self, case: Case) -> Sequence[tuple[Attack, Threat]]:
        """The one under examination."""
        return [(case.attack, case.threat)]

    def cost(self, case: Case) -> Cost:
        """Of both versions a pass, one with faint gates closed, one with them open, and one in float64."""
        return Cost(forwards=8 * self.images)


class Edges(NamedTuple):
    """How near N images are to another verdict.

    Attributes:
        faint: (N,) bool, whether a gate's logit is below `NEAR` in absolute value.
        turned: (N,) bool, whether the verdict is another one with these gates open, or closed.
        margins: (N,) absolute.
        rounding: (N,) what rounding may make of them.
    """

    faint: Tensor
    turned: Tensor
    margins: Tensor
    rounding: Tensor


class Nudged(Policy):
    """A policy whose gates see a logit that is a little higher, or lower."""

    def __init__(self, policy: Policy, by: float) -> None:
        self.policy, self.by = policy, by
        self.name, self.traits = policy.name, policy.traits

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """As the policy does on the logits (B, 2) with so much added to that of running the block."""
        return self.policy.decide(logits + logits.new_tensor([0.0, self.by]), gate, draw)


@torch.no_grad()
def edges(case: Case, policy: Policy, pixels: Tensor, labels: Tensor) -> Edges:
    """Of images (N, C, H, W), at least one.

    Raises:
        NotFiniteError: the network returned NaN or infinite logits.
    """
    starts = range(0, len(pixels), AT_ONCE)
    parts = [_edges(case, policy, pixels[start : start + AT_ONCE], labels[start : start + AT_ONCE]) for start in starts]
    return Edges(*map(torch.cat, zip(*parts, strict=True)))


def _edges(case: Case, policy: Policy, x: Tensor, y: Tensor) -> Edges:
    model = case.subject.model
    found = look(model, model, x, policy, "sparse")
    if not found.logits.isfinite().all():
        raise NotFiniteError
    margins = margin(found.logits, y)
    faint = turned = torch.zeros_like(y, dtype=torch.bool)
    if policy.traits.chooses and found.decisions.shape[1]:
        faint = (found.probabilities.double().logit().abs() < NEAR).any(1)
        others = [margin(look(model, model, x, Nudged(policy, by), "sparse").logits, y) for by in (-NEAR, NEAR)]
        turned = faint & torch.stack([(other > 0) != (margins > 0) for other in others]).any(0)
    return Edges(faint, turned, margins.abs().double(), _rounding(case, policy, x, y, found))


def _rounding(case: Case, policy: Policy, x: Tensor, y: Tensor, found: Pass) -> Tensor:
    """(B,) how far margins in float64 are from those that were found, under the same hard decisions."""
    exact = case.exact
    if exact is None:
        return _SHARE * found.logits.abs().amax(1).double()
    held = Frozen(found.decisions) if policy.traits.chooses and found.decisions.shape[1] else policy
    return (margin(look(exact, exact, x.double(), held, "sparse").logits, y) - margin(found.logits, y).double()).abs()
