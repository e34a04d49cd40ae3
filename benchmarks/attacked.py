"""What the benchmark of attacks attacks, and how: our way, torchattacks', and passes that none can do without."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
import torchattacks
from torch import Tensor, nn

from benchmarks.forced import Forced, networks, random_batch
from benchmarks.inference import TYPES, infer
from robustbench_aig.attacks import Attack, run_attack
from robustbench_aig.attacks.attack_loop import parts
from robustbench_aig.errors import InputError
from robustbench_aig.gating import Argmax, Execution, Gate, Policy, gating
from robustbench_aig.models import fused
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import ModelRecipe
from robustbench_aig.threat import Threat

STEPS = 10


@dataclass(frozen=True)
class Setting:
    """What is attacked.

    Attributes:
        name: of the network.
        model: the network itself.
        policy: how gates decide.
        x: (B, C, H, W).
        y: (B,) labels.
        copies: the network's fused copies by type.
        rate: share of open gates, where it is given; None where gates decide by themselves or there are none.
        trained: whether the weights are, and the labels the images' own.
    """

    name: str
    model: nn.Module
    policy: Policy
    x: Tensor
    y: Tensor
    copies: dict[str, nn.Module]
    rate: float | None
    trained: bool

    @property
    def gated(self) -> bool:
        """Whether there are gates."""
        return any(isinstance(module, Gate) for module in self.model.modules())

    def attack(self, attack: Attack, copied: nn.Module, threat: Threat) -> Tensor:
        """Attack once: images (B, C, H, W); what crashes is no measurement."""
        stream = Stream.of(torch.arange(len(self.x), device=self.x.device), 0)
        exact = self.copies["fp32"]
        found = run_attack(
            attack, self.model, self.policy, self.x, self.y, threat, stream=stream, seed=0, copy=copied, exact=exact
        )
        if found.reason is not None:
            raise InputError(f"the attack failed: {found.reason}")
        return found.images

    def torchattacks(self, model: nn.Module, threat: Threat) -> Tensor:
        """The same attack by torchattacks, on the network itself: every block is computed, then multiplied."""
        eps = threat.value
        attack = torchattacks.PGD(model, eps=eps, alpha=eps / 4, steps=STEPS, random_start=True)
        with gating(model, self.policy):
            found: Tensor = attack(self.x, self.y)
        return found

    def floor(self, copied: nn.Module, execution: Execution) -> Tensor:
        """As many forward passes and input gradients as the attack has steps, in its parts, and nothing else."""
        for part in parts(len(self.x), copied, self.x.device):
            for _ in range(STEPS):
                x, y = self.x[part].clone().requires_grad_(), self.y[part]
                with gating(copied, self.policy, execution=execution):
                    torch.autograd.grad(F.cross_entropy(copied(x), y, reduction="sum"), x)
        return self.x

    def of(self, part: slice) -> Setting:
        """Some of the images."""
        return replace(self, x=self.x[part], y=self.y[part])

    def right(self, model: nn.Module, images: Tensor) -> Tensor:
        """(B,) bool, whether a network or a copy of it gives these images their labels."""
        return infer(model, images, self.policy, "dense").argmax(1) == self.y


def random_setting(name: str, recipe: ModelRecipe, batch: int, rate: float, device: torch.device) -> Setting:
    """Random weights and images; gates are open at a given rate, and no image is lost beforehand.

    Labels are the network's own predictions.
    """
    gates = len(recipe.model.targets)
    model, _ = networks(recipe, device)
    policy = Forced(rate, batch, gates, device) if gates else Argmax()
    x = random_batch(recipe, batch, device)
    y = infer(model, x, policy, "dense").argmax(1)
    return Setting(name, model, policy, x, y, _copies(model), rate if gates else None, trained=False)


def trained_setting(name: str, model: nn.Module, x: Tensor, y: Tensor) -> Setting:
    """A trained network under argmax gates, on images with their labels."""
    frozen = model.eval().requires_grad_(False)
    return Setting(name, frozen, Argmax(), x, y, _copies(frozen), None, trained=True)


def _copies(model: nn.Module) -> dict[str, nn.Module]:
    return {kind: fused(model, dtype) for kind, dtype in TYPES.items()}
