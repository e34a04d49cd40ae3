"""One step of training: from a batch to updated weights, without waiting for the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from robustbench_aig.gating import Sampled, gating
from robustbench_aig.models.branches import residual_branches
from robustbench_aig.precision import float32
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import Training
from robustbench_aig.training.batches import Batch
from robustbench_aig.training.hardware import Hardware, precision
from robustbench_aig.training.inner import inner_attack
from robustbench_aig.training.losses import divergence, rate_loss


@dataclass(frozen=True)
class Outcome:
    """What a step saw before it updated the weights.

    Attributes:
        cross_entropy: scalar, mean over the images learned from: the attacked ones in `pgd` and `fast` training.
        divergence: scalar, weighted; 0 but for `trades`.
        penalty: scalar, the weighted rate loss; 0 without gates that learn.
        right: (B,) bool, whether those images were classified as labelled.
        decisions: (B, G) of the gates on them; G is 0 without gates.
    """

    cross_entropy: Tensor
    divergence: Tensor
    penalty: Tensor
    right: Tensor
    decisions: Tensor


class Learner:
    """A network, its optimizer, and how both are updated from a batch.

    Args:
        model: on the device of the training; its modes are set by the caller.
        training: the recipe.
        targets: (G,) execution rates that the gates are trained towards, in the type of the images.
        hardware: where and how.
    """

    def __init__(self, model: nn.Module, training: Training, targets: Tensor, hardware: Hardware) -> None:
        settings = training.optimizer
        self.training, self.targets, self.hardware = training, targets, hardware
        if hardware.sync_bn:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        self.model = model
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
            fused=hardware.device.type in ("cpu", "cuda"),
        )
        if hardware.compiled:
            for branch in residual_branches(model):
                branch.output.compile()
        self._network: nn.Module = model
        if hardware.world.size > 1:
            self._network = shared = DistributedDataParallel(model)
            # Buffers are ours to copy, because the inner attack reads them before DDP would. The argument of this name
            # warns since torch 2.14, and older versions don't know its successor.
            shared.broadcast_buffers = False

    @property
    def statistics(self) -> list[Tensor]:
        """Batch-norm's running means and variances; those of rank 0 count."""
        return [
            buffer
            for module in self.model.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 - torch's only common base
            for buffer in (module.running_mean, module.running_var)
            if buffer is not None
        ]

    @float32()
    def update(self, batch: Batch, lr: float) -> Outcome:
        """Learn from a batch at a learning rate; the network is in the mode in which it trains."""
        settings, hardware = self.training.adversarial, self.hardware
        hardware.world.copy_from_leader(self.statistics if hardware.world.size > 1 else [])
        attacked = None if settings is None else inner_attack(self.model, batch, settings, amp=hardware.amp)
        replaced = settings is not None and settings.method != "trades"
        logits, decisions = self._forward(attacked if replaced and attacked is not None else batch.x, batch.gates)
        cross_entropy = F.cross_entropy(logits, batch.labels, label_smoothing=self.training.label_smoothing)
        distance = cross_entropy.new_zeros(())
        if settings is not None and settings.method == "trades" and attacked is not None:
            distance = settings.beta * divergence(self._forward(attacked, batch.gates)[0], logits)
        penalty = self._penalty(decisions)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        (cross_entropy + distance + penalty).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        right = logits.detach().argmax(1) == batch.labels
        return Outcome(cross_entropy.detach(), distance.detach(), penalty.detach(), right, decisions.detach())

    def _forward(self, x: Tensor, noise: Stream) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) and decisions (B, G) of sampled gates."""
        temperature = 1.0 if self.training.rate_loss is None else self.training.rate_loss.temperature
        with (
            precision(x.device, amp=self.hardware.amp),
            gating(self.model, Sampled(noise, temperature)) as trace,
        ):
            logits = self._network(x).to(x.dtype)
        return logits, trace.decisions if trace.gates else logits.new_empty(len(x), 0)

    def _penalty(self, decisions: Tensor) -> Tensor:
        settings = self.training.rate_loss
        if settings is None:
            return self.targets.new_zeros(())
        return settings.weight * rate_loss(decisions, self.targets, settings.reduction, self.hardware.world)
