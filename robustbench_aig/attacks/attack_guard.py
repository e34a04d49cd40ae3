"""One guard around every attack, ours or foreign: nothing leaks out, nothing it says of itself is believed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustbench_aig.attacks.attack_interface import Attack, View
from robustbench_aig.attacks.providers.provider_attack import ProviderAttack
from robustbench_aig.errors import AttackError, lacks_memory
from robustbench_aig.gating import Policy, gating
from robustbench_aig.network_modes import frozen_in_eval_mode
from robustbench_aig.precision import float32
from robustbench_aig.randomness import Stream, seeded
from robustbench_aig.threat import Threat


@dataclass(frozen=True)
class Attacked:
    """What came out of an attack.

    Attributes:
        images: (B, C, H, W), detached; the clean image where the attack failed.
        failed: (B,) bool, images for which the attack crashed, returned NaN or left the ball or the box.
        reason: why, for the first failure; None where all went well.
        forwards: forward passes per image.
        backwards: backward passes per image.
        lacked_memory: whether it crashed for want of memory.
    """

    images: Tensor
    failed: Tensor
    reason: str | None
    forwards: float
    backwards: float
    lacked_memory: bool = False


@float32()
def run_attack(
    attack: Attack,
    model: nn.Module,
    policy: Policy,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    stream: Stream,
    seed: int,
    copy: nn.Module | None = None,
    exact: nn.Module | None = None,
    routes: Tensor | None = None,
    costs: Tensor | None = None,
) -> Attacked:
    """Attack `x` under a gate policy and measure what was really returned.

    Args:
        attack: ours or a provider's.
        model: images to logits; its modes, flags and the global state are restored afterwards.
        policy: how the gates decide while the attack works.
        x: (B, C, H, W) float32 in [0, 1].
        y: (B,) int64.
        threat: the ball that the result is checked against.
        stream: (B,) random streams for an attack whose noise is its own.
        seed: of the global generators, for one whose noise isn't.
        copy: a faster copy of `model` that the attack works on instead.
        exact: a faster copy of `model` in float32, which confirms what another `copy` says.
        routes: (classes, G) mean open probabilities of each class's images, for attacks that aim at a path.
        costs: (G,) multiply-accumulates of the gated blocks, for attacks on the compute.

    Raises:
        AttackError: the input isn't what an attack may be given; nothing was run.
    """
    _check_input(x, y)
    reference = None if copy is None or copy is exact else exact or model
    view = View(copy or model, policy, reference=reference, routes=routes, costs=costs)
    reason, lacked_memory = None, False
    with frozen_in_eval_mode(view), seeded(seed, x.device), gating(view.model, policy), torch.enable_grad():
        try:
            # Copies, because an attack may write into what it is given; others' call view() on it and its gradients.
            layout = torch.contiguous_format if isinstance(attack, ProviderAttack) else torch.preserve_format
            given = x.clone(memory_format=layout)
            returned = attack(view, given, y.clone(), threat, stream).detach()
        except Exception as error:  # noqa: BLE001 - any crash of any provider must end as an error row
            returned = torch.full_like(x, torch.nan)
            reason = f"{type(error).__name__}: {error}"
            lacked_memory = lacks_memory(error)
    if returned.shape != x.shape:
        reason = f"returned shape {tuple(returned.shape)} for {tuple(x.shape)}"
        returned = torch.full_like(x, torch.nan)
    returned = returned.to(x)
    failed = ~threat.contains(returned, x)
    if reason is None and failed.any():
        reason = _leave_reason(returned[failed], x[failed], threat)
    keep = failed.view(-1, 1, 1, 1)
    spent = view.forwards / len(x), view.backwards / len(x)
    return Attacked(torch.where(keep, x, returned), failed, reason, *spent, lacked_memory)


def _check_input(x: Tensor, y: Tensor) -> None:
    if x.dtype != torch.float32 or y.dtype != torch.int64 or x.dim() != 4 or len(x) != len(y) or not len(x):
        raise AttackError(
            f"images must be float32 (B, C, H, W) with int64 labels, got {x.dtype} {tuple(x.shape)}, {y.dtype} {len(y)}"
        )
    if not ((x >= 0) & (x <= 1)).all():
        raise AttackError(f"images must lie in [0, 1], got {x.min().item():.3g} to {x.max().item():.3g}")


def _leave_reason(returned: Tensor, x: Tensor, threat: Threat) -> str:
    if not returned.isfinite().all():
        return "returned NaN or infinite pixels"
    return f"left the ball or the box: distance {threat.distance(returned, x).max().item():.6g} at {threat}"
