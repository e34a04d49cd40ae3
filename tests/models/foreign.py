"""Gated networks as others write them, and what a user writes to have them attacked."""

import torch
from torch import Tensor, nn

from robustbench_aig.models import adapt
from tests.networks import images

SIZE, WIDTH, BLOCKS = 12, 6, 4
CONV = 9 * WIDTH * WIDTH * SIZE**2
STEM, HEAD = 9 * 3 * WIDTH * SIZE**2, WIDTH * 10


class SharedGate(nn.Module):
    """One LSTM for all blocks, its state kept on the module between calls, as in the official SkipNet."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(WIDTH, 5)
        self.head = nn.Linear(5, 1)
        self.state: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out, self.state = self.lstm(x.mean((2, 3)).unsqueeze(0), self.state)
        p = self.head(out[0]).sigmoid()
        return (p > 0.5).float() + (p - p.detach()), p


class Recurrent(nn.Module):
    """Returns a tuple; the gate is asked once for each block."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(BLOCKS))
        self.gate = SharedGate()
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        self.gate.state = None
        x, masks = self.stem((x - 0.5) / 0.03), []
        for block in self.blocks:
            mask, _ = self.gate(x)
            masks.append(mask)
            x = x + mask[..., None, None] * block(x).tanh()
        return self.head(x.mean((2, 3))), masks


class GumbelSampler(nn.Module):
    """Logits (B, 2, 1, 1) in, a one-hot sample out, as in the official ConvNet-AIG; here the likelier side."""

    def forward(self, logits: Tensor) -> Tensor:
        return nn.functional.one_hot(logits.argmax(1), 2).movedim(-1, 1).float()


class SampledBlock(nn.Module):
    """The convolutions lie beside the gate, in no module of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv2d(WIDTH, WIDTH, 1)
        self.fc = nn.Conv2d(WIDTH, 2, 1)
        self.sampler: nn.Module = GumbelSampler()

    def forward(self, x: Tensor) -> Tensor:
        w = self.sampler(self.fc(x.mean((2, 3), keepdim=True)))
        out: Tensor = x + w[:, 1:] * self.conv2(self.conv1(x).relu())
        return out


class Planned(nn.Module):
    """All decisions in one call before the first block, as in BlockDrop; skipping is a Python branch on values."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = nn.Sequential(nn.Conv2d(3, BLOCKS, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(BLOCKS))
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        plan = (self.policy(x) > 0).float()
        x = self.stem(x)
        for number, block in enumerate(self.blocks):
            if plan[:, number].any().item():
                x = x + plan[:, number].view(-1, 1, 1, 1) * block(x)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def recurrent() -> Recurrent:
    """Its gates are open for about half of the images."""
    torch.manual_seed(1)
    net = Recurrent().eval()
    nn.init.normal_(net.gate.head.weight, 0, 40)
    seen: list[Tensor] = []
    with torch.no_grad(), net.gate.head.register_forward_hook(lambda *call: seen.append(call[2])):
        net(images(40)[0])
        net.gate.head.bias.sub_(torch.cat(seen).median())
    return net


def adapted(net: Recurrent) -> nn.Module:
    return adapt(
        net,
        gates=[net.gate],
        blocks=list(net.blocks),
        read=lambda _, output: output[1].squeeze(1).logit(1e-6),
        write=lambda output, z: (z.unsqueeze(1), output[1]),
    )


def sampled() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3, padding=1),
        *(SampledBlock() for _ in range(BLOCKS)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(WIDTH, 10),
    ).eval()


def adapted_sampled(net: nn.Sequential) -> nn.Module:
    inner = [module for module in net if isinstance(module, SampledBlock)]
    return adapt(
        net,
        gates=[block.sampler for block in inner],
        blocks=[[block.conv1, block.conv2] for block in inner],
        read=lambda inputs, _: (inputs[0][:, 1] - inputs[0][:, 0]).flatten(),
        write=lambda _, z: torch.stack([1 - z, z], 1)[..., None, None],
    )


def planned() -> Planned:
    torch.manual_seed(0)
    net = Planned().eval()
    nn.init.normal_(next(net.policy.parameters()), 0, 1)
    return net


def adapted_planned(net: Planned) -> nn.Module:
    return adapt(
        net, gates=[net.policy], blocks=list(net.blocks), read=lambda _, output: output, write=lambda _, z: z - 0.5
    )
