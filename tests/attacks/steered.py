"""Gated networks whose compute is known, or undecided enough to be steered."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustbench_aig.gating import Argmax, Gate, gating
from robustbench_aig.models import GatedResNet
from robustbench_aig.threat import Threat
from tests.networks import gated, gates

LINF = Threat.parse("8/255")
L2 = Threat.parse("0.5", "l2")
SHAPE = (1, 2, 3)


class Looking(Gate):
    """D = w · (x - 0.5) + b of the image itself."""

    def __init__(self, weight: Tensor, bias: float) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), bias

    def logits(self, x: Tensor) -> Tensor:
        score = (x - 0.5).flatten(1) @ self.weight + self.bias
        return torch.stack([torch.zeros_like(score), score], 1)


class Linear(nn.Module):
    """Gates that are linear in the image, and open blocks that each add to one class."""

    def __init__(self, weights: Tensor, biases: Sequence[float]) -> None:
        super().__init__()
        self.gates = nn.ModuleList(Looking(w, b) for w, b in zip(weights, biases, strict=True))
        self.blocks = torch.eye(len(biases), 4) * 0.1

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(1)[:, :4, None, None]
        for gate, block in zip(self.gates, self.blocks, strict=True):
            h = gate(x, h, lambda part, block=block: block[:, None, None].expand(len(part), -1, 1, 1))
        return h.flatten(1)


@torch.no_grad()
def undecided(x: Tensor) -> GatedResNet:
    """A gated network for which neither gates nor classes are the same for all of these images."""
    model = gated(depth=8)
    for place, gate in enumerate(gates(model)):
        with gating(model, Argmax()) as trace:
            model(x)
        score = trace.probabilities[:, place].double().logit().float()
        gate.fc2.weight.mul_(1.5 / score.std())
        gate.fc2.bias.copy_(torch.tensor([0, -1.5 * score.mean() / score.std()]))
    logits = model(x)
    model.head.weight.mul_(3 / logits.std(0).mean())
    model.head.bias.sub_(model(x).mean(0))
    return model


def ray(*scales: float) -> Tensor:
    """Gates that look in the same direction, or against it."""
    direction = torch.randn(6, generator=torch.Generator().manual_seed(1))
    return torch.tensor(scales)[:, None] * direction


def middle(count: int) -> Tensor:
    """Images too far from 0 and 1 for the box to matter."""
    return 0.4 + 0.2 * torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(0))
