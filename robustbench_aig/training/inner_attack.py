"""The attack inside adversarial training."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbench_aig.attacks.attack_interface import View
from robustbench_aig.attacks.attack_loop import climb
from robustbench_aig.attacks.attack_problem import Pass, Problem
from robustbench_aig.attacks.fgsm_and_pgd import FixedSteps, random_start
from robustbench_aig.attacks.gradient_modes import Surrogate
from robustbench_aig.attacks.iterate_selection import Kept
from robustbench_aig.attacks.objectives import CrossEntropy, Objective
from robustbench_aig.gating import Policy, deployed_policy
from robustbench_aig.network_modes import in_eval_mode
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import Adversarial, DeployedMode
from robustbench_aig.training.batches import Batch
from robustbench_aig.training.hardware import precision

_TRADES_START = 0.001
"""Standard deviation of the noise from which the official code of TRADES starts, in units of the pixel range."""


def inner_attack(model: nn.Module, batch: Batch, settings: Adversarial, *, amp: bool) -> Tensor:
    """Attacked images (B, C, H, W) inside the recipe's ball; the network's modes are kept.

    Batch-norm uses its running statistics, so that an image is attacked on its own and not with its neighbours'
    help, and every gradient is taken under the same noise of the gates.
    """
    trades = settings.method == "trades"
    view = View(_InPrecision(model, amp=amp), deployed_policy(settings.gates, batch.gates))
    problem, mode = Problem(view, batch.x, batch.labels, settings.threat, batch.attack), _OneDraw(DeployedMode())
    objective: Objective = _Divergence() if trades else CrossEntropy()
    start = _near(problem) if trades else random_start(problem.x, problem.threat, problem.stream)
    with in_eval_mode(model):
        if trades:
            with torch.no_grad():
                problem = replace(problem, clean=problem.look(problem.x, view.policy))
        return climb(
            problem,
            lambda _: FixedSteps(start, settings.step),
            mode,
            objective,
            Kept(problem, "last", mode, objective),
            steps=settings.steps,
            in_parts=False,
        ).detach()


def _near(problem: Problem) -> Tensor:
    """Points (B, C, H, W) next to the images, where the divergence has a slope."""
    # Normal and small, as in the official code of TRADES; at the image itself the divergence has no slope.
    noise = (2 * problem.stream.uniform(*problem.x.shape[1:]) - 1).erfinv() * (2**0.5 * _TRADES_START)
    return problem.threat.project(problem.x + noise, problem.x)


class _OneDraw(Surrogate[DeployedMode]):
    """The gates under the noise of the update that follows, which every pass repeats."""

    of_gates: ClassVar[bool] = False

    def policy(self, problem: Problem, stream: Stream) -> Policy:
        """The view's own."""
        return problem.view.policy


class _Divergence(Objective):
    """KL(clean || attacked), as `losses.divergence`, of each image."""

    needs_clean: ClassVar[bool] = True

    def __call__(self, found: Pass, problem: Problem, progress: float) -> Tensor:
        """(B,)."""
        assert problem.clean is not None
        attacked, clean = found.logits.log_softmax(1), problem.clean.logits.log_softmax(1)
        return F.kl_div(attacked, clean, reduction="none", log_target=True).sum(1)


class _InPrecision(nn.Module):
    """The network in the precision of the training."""

    def __init__(self, model: nn.Module, *, amp: bool) -> None:
        super().__init__()
        self._model, self._amp = model, amp

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes)."""
        with precision(x.device, amp=self._amp):
            logits: Tensor = self._model(x)
        return logits.to(x.dtype)
