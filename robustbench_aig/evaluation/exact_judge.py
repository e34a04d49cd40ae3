"""What a random network answers to images, exactly: sums over all that its gates can decide, by probability."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbench_aig.attacks.attack_problem import margin
from robustbench_aig.gating import Policy, at_once, every_pattern
from robustbench_aig.models import MacProfile


@dataclass(frozen=True)
class Expected:
    """Of B images.

    Attributes:
        finite: (B,) bool, whether the logits of all patterns are.
        votes: (B, classes) float64, probability of each class to be the answer.
        margins: (B,) expected logit of the label minus the highest other.
        right: (B,) float64, probability of a right answer.
        macs: (B,) float64, expected multiply-accumulates.
        probabilities: (B, G) how probably each gate is open, whatever the gates before it decide.
    """

    finite: Tensor
    votes: Tensor
    margins: Tensor
    right: Tensor
    macs: Tensor
    probabilities: Tensor


@torch.no_grad()
def expect(model: nn.Module, profile: MacProfile, policy: Policy, x: Tensor, y: Tensor) -> Expected:
    """The expectations for images (B, C, H, W) with labels (B,); InputError as `gating.every_pattern`."""
    size = at_once(model, x.device)
    pieces = zip(torch.split(x, size), torch.split(y, size), strict=True)
    parts = [_of_few(model, profile, policy, *piece) for piece in pieces]
    return Expected(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Expected)))


def _of_few(model: nn.Module, profile: MacProfile, policy: Policy, x: Tensor, y: Tensor) -> Expected:
    every = every_pattern(model, model, x, policy)
    size = every.logits.shape[:2]
    # The probabilities add up to 1 but for rounding, which the softmax divides out.
    weight = every.log_probability.double().softmax(0).expand(size)
    margins = margin(every.logits, y)
    votes = F.one_hot(every.logits.argmax(2), every.logits.shape[2])
    macs = profile.executed(every.decisions.flatten(0, 1)).view(size)
    right, wrong = ((weight * of).sum(0) for of in (margins > 0, ~(margins > 0)))
    return Expected(
        finite=every.logits.isfinite().all(2).all(0),
        votes=(weight[..., None] * votes).sum(0),
        margins=(weight * margins).sum(0).to(margins.dtype),
        right=right / (right + wrong),  # exactly 1 where every pattern is right
        macs=(weight * macs).sum(0),
        probabilities=(weight[..., None] * every.probabilities).sum(0).to(x.dtype),
    )
