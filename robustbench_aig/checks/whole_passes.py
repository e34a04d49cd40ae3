"""Single passes over a network, forward and back, and what is measured of their results."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbench_aig.attacks.attack_problem import look, margin
from robustbench_aig.attacks.gradient_modes.attacker_policies import Detached
from robustbench_aig.gating import Execution, Expected, Open, Policy
from robustbench_aig.network_modes import frozen_in_eval_mode

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits (B, classes) and labels (B,) to a number per image, (B,), that an attack raises."""


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """(B,) -log p of the label."""
    return F.cross_entropy(logits, y, reduction="none")


def margin_loss(logits: Tensor, y: Tensor) -> Tensor:
    """(B,) highest other logit minus the label's: in float32 it doesn't saturate."""
    return -margin(logits, y)


def logits_of(model: nn.Module, x: Tensor, policy: Policy) -> Tensor:
    """(B, classes) of images (B, C, H, W), without a gradient, in whatever mode the network is."""
    with torch.no_grad():
        return look(model, model, x, policy, "sparse").logits


def gradient(
    model: nn.Module, x: Tensor, y: Tensor, policy: Policy, loss: Loss, execution: Execution = "dense"
) -> Tensor:
    """Gradient (B, C, H, W) of each image's loss, in eval mode; zero where the loss doesn't depend on the images."""
    leaf = x.detach().requires_grad_()
    with frozen_in_eval_mode(model), torch.enable_grad():
        value = loss(look(model, model, leaf, policy, execution).logits, y).sum()
        if not value.requires_grad:
            return torch.zeros_like(x)
        (found,) = torch.autograd.grad(value, leaf, materialize_grads=True)
    return found


def held(policy: Policy) -> Policy:
    """The policy with hard decisions as constants in the gradient, which is then the slope of the network itself."""
    return policy if policy.traits.smooth else Detached(policy)


def quiet(policy: Policy) -> Policy:
    """The policy without what is random in it: every block at its open probability, or all of them open."""
    gates = policy.of_gates
    if not gates.random:
        return gates
    return Expected() if gates.traits.looks else Open()


def differs(logits: Tensor, other: Tensor, tolerance: float) -> Tensor:
    """(B,) bool: whether logits (B, classes) of two passes, each over its length, are further apart; NaN is."""
    apart = (F.normalize(logits, dim=1) - F.normalize(other, dim=1)).norm(dim=1)
    unlike: Tensor = ~(apart <= tolerance)
    return unlike


def zero(gradients: Tensor) -> Tensor:
    """(B,) bool: whether a gradient (B, C, H, W) is zero in every coordinate, or NaN."""
    none: Tensor = ~(gradients.flatten(1).abs().amax(1) > 0)
    return none


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """(B,) cosine of the angle between gradients (B, C, H, W); 0 where one of them is zero or NaN."""
    found: Tensor = F.cosine_similarity(first.flatten(1).double(), second.flatten(1).double(), dim=1)
    return found.nan_to_num(0.0)
