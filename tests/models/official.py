"""The layout of the official ConvNet-AIG network for CIFAR, written anew from its description (arXiv 1711.11503)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN = [0.4914, 0.4822, 0.4465]
STD = [0.2023, 0.1994, 0.2010]


class OfficialBlock(nn.Module):
    def __init__(self, channels: int, width: int, stride: int, *, gated: bool, hidden: int, norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.gated, self.norm = gated, norm
        if gated:
            self.fc1 = nn.Conv2d(channels, hidden, 1)
            if norm:
                self.fc1bn = nn.BatchNorm2d(hidden)
            self.fc2 = nn.Conv2d(hidden, 2, 1)

    def gate(self, x: Tensor) -> Tensor:
        """Skip and run logits (B, 2)."""
        hidden = self.fc1(F.avg_pool2d(x, x.shape[2:]))
        if self.norm:
            hidden = self.fc1bn(hidden)
        logits: Tensor = self.fc2(F.relu(hidden)).flatten(1)
        return logits

    def forward(self, x: Tensor, decisions: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features, and decisions (B,): those given, or one where the second logit is the larger."""
        z = torch.ones(len(x))
        if self.gated:
            z = self.gate(x).argmax(1).float() if decisions is None else decisions
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + z.view(-1, 1, 1, 1) * residual), z


class OfficialNet(nn.Module):
    """Normalised images (B, C, H, W) to logits and decisions (B, G)."""

    def __init__(
        self,
        blocks: int,
        widths: Sequence[int] = (16, 32, 64),
        classes: int = 10,
        *,
        gated: bool = True,
        hidden: int = 16,
        norm: bool = True,
        channels: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv1 = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        before = widths[0]
        for stage, width in enumerate(widths):
            layer = nn.ModuleList()
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                layer.append(OfficialBlock(before, width, stride, gated=gated, hidden=hidden, norm=norm))
                before = width
            self.add_module(f"layer{stage + 1}", layer)
        self.linear = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                for value in (module.weight, module.running_var):
                    assert value is not None
                    nn.init.uniform_(value, 0.5, 1.5)
                for value in (module.bias, module.running_mean):
                    assert value is not None
                    nn.init.normal_(value, 0, 0.2)
            if isinstance(module, OfficialBlock) and gated:
                # So that gates are neither all open nor all closed.
                nn.init.normal_(module.fc2.weight, 0, 2)
        self.eval()

    def blocks(self) -> list[OfficialBlock]:
        return [module for module in self.modules() if isinstance(module, OfficialBlock)]

    def forward(self, x: Tensor, decisions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = F.relu(self.bn1(self.conv1(x)))
        asked = []
        for position, block in enumerate(self.blocks()):
            x, z = block(x, None if decisions is None else decisions[:, position])
            asked.append(z)
        return self.linear(F.avg_pool2d(x, x.shape[2:]).flatten(1)), torch.stack(asked, 1)


def normalised(x: Tensor, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Tensor:
    return (x - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)
