"""The attack inside adversarial training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_aig.attacks.gradient import ascend, input_gradient, random_start
from robustbench_aig.eval_mode import in_eval_mode
from robustbench_aig.gating import deployed_policy, gating
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import Adversarial
from robustbench_aig.training.batches import Batch
from robustbench_aig.training.hardware import precision
from robustbench_aig.training.losses import divergence

_TRADES_START = 0.001
"""Standard deviation of the noise from which the official code of TRADES starts, in units of the pixel range."""


def inner_attack(model: nn.Module, batch: Batch, settings: Adversarial, *, amp: bool) -> Tensor:
    """Attacked images (B, C, H, W) inside the recipe's ball; the network's modes are kept.

    Batch-norm uses its running statistics, so that an image is attacked on its own and not with its neighbours'
    help, and every gradient is taken under the same noise of the gates.
    """
    view = _View(model, settings, batch.gates, amp=amp)
    x, threat = batch.x, settings.threat
    with in_eval_mode(model):
        if settings.method == "trades":
            with torch.no_grad():
                clean = view(x)
            noise = (2 * batch.attack.uniform(*x.shape[1:]) - 1).erfinv() * (2**0.5 * _TRADES_START)
            start = threat.project(x + noise, x)
        else:
            clean = None
            start = random_start(x, threat, batch.attack)

        def gradient(adv: Tensor) -> Tensor:
            return input_gradient(view, adv, batch.labels) if clean is None else _rise(view, adv, clean)

        return ascend(gradient, x, start, threat, settings.steps, settings.step).detach()


def _rise(view: nn.Module, x: Tensor, clean: Tensor) -> Tensor:
    """Gradient (B, C, H, W) of each image's divergence from its clean logits (B, classes)."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(divergence(view(x), clean) * len(x), x)
    return gradient


class _View(nn.Module):
    """The network as the inner attack sees it: in the precision of the training, under one draw of the gates."""

    def __init__(self, model: nn.Module, settings: Adversarial, noise: Stream, *, amp: bool) -> None:
        super().__init__()
        self._model, self._gates, self._noise, self._amp = model, settings.gates, noise, amp

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes); a new context each time repeats the first draw."""
        with (
            precision(x.device, amp=self._amp),
            gating(self._model, deployed_policy(self._gates, self._noise)),
        ):
            logits: Tensor = self._model(x)
        return logits.to(x.dtype)
