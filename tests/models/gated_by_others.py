"""Networks of other people's design, each with the adapter that is right for it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from robustbench_aig.models import adapt
from tests.models.foreign import (
    BLOCKS,
    SIZE,
    WIDTH,
    SampledBlock,
    SharedGate,
    adapted,
    adapted_planned,
    adapted_sampled,
    planned,
    recurrent,
    sampled,
)
from tests.networks import images


def conv(width: int = 3) -> nn.Conv2d:
    return nn.Conv2d(WIDTH, WIDTH, width, padding=width // 2)


class Scored(nn.Module):
    """A score (B, 1) for each block; the mask is an expression, as its authors wrote it: 1 + p - p isn't always 1."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Sequential(conv(), nn.ReLU(), conv(1)) for _ in range(BLOCKS))
        self.gates = nn.ModuleList(nn.Linear(WIDTH, 1) for _ in range(BLOCKS))
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem((x - 0.5) * 8)
        for gate, block in zip(self.gates, self.blocks, strict=True):
            s = gate(x.mean((2, 3)))
            z = (s > 0).to(x) + s.sigmoid() - s.sigmoid().detach()
            x = x + z[..., None, None] * block(x)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def scored() -> Scored:
    """Each gate, but for the first, which is open for all, is open for half of the images."""
    torch.manual_seed(0)
    net = Scored().eval()
    for number, gate in enumerate(net.gates):
        assert isinstance(gate, nn.Linear)
        nn.init.normal_(gate.weight, 0, 20)
        seen: list[Tensor] = []
        with torch.no_grad(), gate.register_forward_hook(lambda *call, to=seen: to.append(call[2])):
            net(images(40)[0])
            gate.bias.sub_(torch.cat(seen).median()).add_(0 if number else 30)
    return net


class TwoLogits(nn.Module):
    """Two logits for each gate, thresholded by >=; the way around a block is a projection."""

    def __init__(self, *, bias: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.gates = nn.ModuleList(nn.Linear(WIDTH, 2) for _ in range(BLOCKS))
        self.blocks = nn.ModuleList(conv() for _ in range(BLOCKS))
        self.around = nn.ModuleList(conv(1) for _ in range(BLOCKS))
        self.head = nn.Linear(WIDTH, 10)
        with torch.no_grad():
            for gate in self.gates:
                assert isinstance(gate, nn.Linear)
                gate.weight.mul_(0.1 if bias else 60)
                gate.bias.copy_(torch.tensor([0, bias]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem((x - 0.5) * 8)
        for gate, block, around in zip(self.gates, self.blocks, self.around, strict=True):
            mask = (gate(x.mean((2, 3))).softmax(1)[:, 1] >= 0.5)[:, None, None, None]
            x = torch.where(mask, block(x).relu() + around(x), around(x))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class Skipping(TwoLogits):
    """Runs a block on the images whose gate is open, and not at all where there are none."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem((x - 0.5) * 8)
        for gate, block in zip(self.gates, self.blocks, strict=True):
            score = gate(x.mean((2, 3)))
            opened = (score[:, 1] > score[:, 0]).nonzero()[:, 0]
            if len(opened):
                x = x.index_add(0, opened, block(x[opened]).relu())
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def two_logits(net: TwoLogits) -> nn.Module:
    return adapt(
        net.eval(),
        gates=list(net.gates),
        blocks=list(net.blocks),
        read=lambda _, score: score[:, 1] - score[:, 0],
        write=lambda _, z: torch.stack([1 - z, z], 1) * 4,
    )


class AsPublished(nn.Module):
    """As SkipNet: a shared recurrent gate, asked once more than needed; what a closed block returns is passed by."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate = nn.Conv2d(3, WIDTH, 3, padding=1), SharedGate()
        self.blocks, self.down = nn.ModuleList(conv() for _ in range(BLOCKS)), conv(1)
        self.head = nn.Linear(WIDTH, 10)
        nn.init.normal_(self.gate.head.weight, 0, 40)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.gate.state = None
        x = self.stem((x - 0.5) / 0.03)
        mask, _ = self.gate(x)
        for number, block in enumerate(self.blocks):
            before = self.down(x) if number == 1 else x
            z = mask[..., None, None]
            x = z * (block(x) + x).tanh() + (1 - z) * before
            mask, _ = self.gate(x)
        return self.head(x.mean((2, 3))), mask


def as_published() -> nn.Module:
    net = AsPublished().eval()
    return adapt(
        net,
        gates=[net.gate],
        blocks=[*net.blocks, []],
        read=lambda _, output: output[1].squeeze(1).logit(1e-6),
        write=lambda output, z: (z.unsqueeze(1), output[1]),
    )


class Routed(nn.Module):
    """Branches side by side, all decided in one call."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.router = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, BLOCKS))
        self.branches = nn.ModuleList(nn.Sequential(conv(), nn.ReLU()) for _ in range(BLOCKS))
        self.head = nn.Linear(WIDTH, 10)
        nn.init.normal_(next(self.router[2].parameters()), 0, 20)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem((x - 0.5) * 8)
        chosen = (self.router(x) > 0).float()
        x = x + sum(chosen[:, k, None, None, None] * branch(x) for k, branch in enumerate(self.branches))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def routed() -> nn.Module:
    net = Routed().eval()
    return adapt(net, gates=[net.router], blocks=list(net.branches), read=lambda _, d: d, write=lambda _, z: 2 * z - 1)


class Looped(nn.Module):
    """One block, three decisions."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.block = nn.Conv2d(3, 1, SIZE), nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3 * SIZE**2, 10)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = x + (self.gate(x) > 0) * self.block(x)
        logits: Tensor = self.head(x.flatten(1))
        return logits


def looped() -> nn.Module:
    net = Looped().eval()
    return adapt(
        net,
        gates=[net.gate],
        blocks=[net.block] * 3,
        read=lambda _, output: output.flatten(),
        write=lambda output, z: (2 * z - 1).view_as(output),
        shared=True,
    )


class Gumbel(nn.Module):
    """Draws a decision, at test time, too."""

    def forward(self, logits: Tensor) -> Tensor:
        return nn.functional.gumbel_softmax(logits.flatten(1), hard=True)[..., None, None]


def drawing() -> nn.Module:
    net = sampled()
    for block in net:
        if isinstance(block, SampledBlock):
            block.sampler = Gumbel()
    return adapted_sampled(net)


def right_scored() -> nn.Module:
    net = scored()
    return adapt(
        net,
        gates=list(net.gates),
        blocks=list(net.blocks),
        read=lambda _, s: s[:, 0],
        write=lambda _, z: (2 * z - 1)[:, None],
    )


def _seeded(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def made() -> nn.Module:
        torch.manual_seed(0)
        return make()

    return made


RIGHT: dict[str, Callable[[], nn.Module]] = {
    "a score for each block": right_scored,
    "one recurrent gate": lambda: adapted(recurrent()),
    "several modules each": lambda: adapted_sampled(sampled()),
    "all decided at once, skipped by a branch": lambda: adapted_planned(planned()),
    "a projection around the block": _seeded(lambda: two_logits(TwoLogits())),
    "open for every image": _seeded(lambda: two_logits(TwoLogits(bias=5.0))),
    "images of closed gates not computed": _seeded(lambda: two_logits(Skipping())),
    "as published": _seeded(as_published),
    "branches": _seeded(routed),
    "one block for all": _seeded(looped),
    "drawing": drawing,
}
"""Adapters that say the truth of very different networks."""
SOFT = {"one recurrent gate", "several modules each", "as published", "drawing"}
"""Those whose networks multiply by the decision, whatever it is."""
