"""One step of training: from a batch to updated weights, without waiting for the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from robustbench_aig.gating import Argmax, Policy, Sampled, gating
from robustbench_aig.models.branches import residual_branches
from robustbench_aig.precision import float32
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import Training
from robustbench_aig.training.batches import Batch
from robustbench_aig.training.gate_losses import (
    beta_distance,
    class_information,
    mutual_information,
    of_whole_batch,
    pair_information,
)
from robustbench_aig.training.hardware import Hardware, precision
from robustbench_aig.training.inner_attack import inner_attack
from robustbench_aig.training.losses import divergence, rate_loss


@dataclass(frozen=True)
class Outcome:
    """What a step saw before it updated the weights.

    Attributes:
        cross_entropy: scalar, mean over the images learned from: the attacked ones in `pgd` and `fast` training.
        divergence: scalar, weighted; 0 but for `trades`.
        penalty: scalar, the weighted rate loss; 0 without gates that learn.
        information: scalar, minus the weighted mutual information; 0 without `training.gates`.
        shaping: scalar, the weighted distance of batch shaping; 0 without it.
        right: (B,) bool, whether those images were classified as labelled.
        decisions: (B, G) of the gates on them; G is 0 without gates.
    """

    cross_entropy: Tensor
    divergence: Tensor
    penalty: Tensor
    information: Tensor
    shaping: Tensor
    right: Tensor
    decisions: Tensor


class Gates(NamedTuple):
    """What gates did in a pass: decisions (B, G), and open probabilities (B, G) where a loss asks for them."""

    decisions: Tensor
    probabilities: Tensor | None


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
            # One kernel for all weights, on the devices that have it.
            fused=hardware.device.type in ("cpu", "cuda"),
        )
        if hardware.compiled:
            for branch in residual_branches(model):
                # Branches only: the gates' decisions between them would break the graph at every block.
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
    def update(self, batch: Batch, lr: float, progress: float = 0.0) -> Outcome:
        """Learn from a batch at a learning rate; the network is in the mode in which it trains.

        Args:
            batch: this process's part.
            lr: learning rate.
            progress: share of the training that is done.
        """
        settings, hardware = self.training.adversarial, self.hardware
        hardware.world.copy_from_leader(self.statistics if hardware.world.size > 1 else [])
        attacked = None if settings is None else inner_attack(self.model, batch, settings, amp=hardware.amp)
        replaced = settings is not None and settings.method != "trades"
        policy = self._policy(batch.gates, progress)
        logits, gates = self._forward(attacked if replaced and attacked is not None else batch.x, policy)
        cross_entropy = F.cross_entropy(logits, batch.labels, label_smoothing=self.training.label_smoothing)
        distance = cross_entropy.new_zeros(())
        if settings is not None and settings.method == "trades" and attacked is not None:
            distance = settings.beta * divergence(self._forward(attacked, policy)[0], logits)
        penalty = self._penalty(gates.decisions)
        information, shaping = self._gate_losses(gates, batch.labels, logits.shape[1], progress)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        # None saves writing zeros into every gradient and adding to them.
        self.optimizer.zero_grad(set_to_none=True)
        (cross_entropy + distance + penalty + information + shaping).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        right = logits.detach().argmax(1) == batch.labels
        return Outcome(
            cross_entropy=cross_entropy.detach(),
            divergence=distance.detach(),
            penalty=penalty.detach(),
            information=information.detach(),
            shaping=shaping.detach(),
            right=right,
            decisions=gates.decisions.detach(),
        )

    def _policy(self, noise: Stream, progress: float) -> Policy:
        """How the gates decide at this moment of the training."""
        if self.training.gates is not None and progress >= self.training.gates.argmax_from:
            return Argmax()
        return Sampled(noise, 1.0 if self.training.rate_loss is None else self.training.rate_loss.temperature)

    def _forward(self, x: Tensor, policy: Policy) -> tuple[Tensor, Gates]:
        """Logits (B, classes), and what the gates did."""
        with precision(x.device, amp=self.hardware.amp), gating(self.model, policy) as trace:
            # Under autocast logits are bfloat16, too coarse for the cross-entropy.
            logits = self._network(x).to(x.dtype)
        if not trace.gates:
            return logits, Gates(logits.new_empty(len(x), 0), None)
        return logits, Gates(trace.decisions, trace.probabilities if self.training.gates is not None else None)

    def _penalty(self, decisions: Tensor) -> Tensor:
        settings = self.training.rate_loss
        if settings is None:
            return self.targets.new_zeros(())
        return settings.weight * rate_loss(decisions, self.targets, settings.reduction, self.hardware.world)

    def _gate_losses(self, gates: Gates, labels: Tensor, classes: int, progress: float) -> tuple[Tensor, Tensor]:
        """Minus the mutual information and the distance of batch shaping, both weighted."""
        settings, zero = self.training.gates, self.targets.new_zeros(())
        if settings is None or gates.probabilities is None:
            return zero, zero
        p = of_whole_batch(gates.probabilities.to(self.targets.dtype), self.hardware.world)
        information, shape = settings.mutual_information, settings.batch_shaping
        told = zero
        if information is not None:
            told = -information.weight * self._information(p, information.of, labels, classes)
        left = 0.0 if shape is None else shape.weight * max(0.0, 1 - progress / shape.until)
        return told, zero if shape is None or not left else left * beta_distance(p, self.targets, shape.a, shape.b)

    def _information(self, p: Tensor, of: Literal["gates", "pairs", "class"], labels: Tensor, classes: int) -> Tensor:
        """What decisions tell; p (B, G) is of the whole batch, labels (B / W,) of this process's part."""
        if of == "class":
            # Not `one_hot`, which looks at the labels on the host.
            members = (labels[:, None] == torch.arange(classes, device=labels.device)).to(p.dtype)
            return class_information(p, of_whole_batch(members, self.hardware.world), self.targets)
        return (pair_information if of == "pairs" else mutual_information)(p, self.targets)
