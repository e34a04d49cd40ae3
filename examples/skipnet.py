"""A small SkipNet, written without aigrob as its authors might, and the few lines that let aigrob attack it.

After the idea of Wang et al., *SkipNet: Learning Dynamic Routing in Convolutional Networks* (arXiv 1711.09485): one
recurrent gate sees the features before every residual block and decides whether the block runs or is skipped.

    python examples/skipnet.py --out skipnet.safetensors
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from robustbench_aig.data import load_data
from robustbench_aig.models import adapt

State = tuple[Tensor, Tensor]


class RecurrentGate(nn.Module):
    """Pooled features → projection of the stage → LSTM cell → probability that the next block runs.

    Args:
        widths: channels of each stage.
        hidden: width of the cell.
    """

    def __init__(self, widths: Sequence[int], hidden: int = 10) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden)) for width in widths
        )
        self.cell = nn.LSTMCell(hidden, hidden)
        self.head = nn.Linear(hidden, 1)
        nn.init.ones_(self.head.bias)  # open at first

    def forward(self, x: Tensor, stage: int, state: State | None) -> tuple[Tensor, Tensor, State]:
        """Mask (B,) of zeros and ones with the gradient of the probability (B,), and the cell's next state."""
        hidden, memory = self.cell(self.projections[stage](x.mean((2, 3))), state)
        probability = self.head(hidden).sigmoid().squeeze(1)
        mask = (probability > 0.5).to(x) + (probability - probability.detach())
        return mask, probability, (hidden, memory)


def opening(channels: int, width: int, stride: int) -> nn.Sequential:
    """One 3×3 convolution."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    )


def residual(width: int) -> nn.Sequential:
    """Two 3×3 convolutions."""
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
    )


class SkipNet(nn.Module):
    """Stages of skippable residual blocks; the convolution that opens a stage always runs.

    Args:
        channels: of the images.
        classes: number of logits.
        widths: channels of each stage.
        per_stage: blocks of each stage.
    """

    def __init__(
        self, channels: int = 1, classes: int = 10, *, widths: Sequence[int] = (16, 24, 32), per_stage: int = 3
    ) -> None:
        super().__init__()
        self.per_stage = per_stage
        self.openings = nn.ModuleList(
            opening(before, width, stride=2 if stage else 1)
            for stage, (before, width) in enumerate(zip((channels, *widths), widths, strict=False))
        )
        self.blocks = nn.ModuleList(residual(width) for width in widths for _ in range(per_stage))
        self.gate = RecurrentGate(widths)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Images (B, C, H, W) in [0, 1] to logits (B, classes), and a mask and a probability (B,) for each block."""
        masks, probabilities = [], []
        state = None
        for number, block in enumerate(self.blocks):
            stage, place = divmod(number, self.per_stage)
            if place == 0:
                x = self.openings[stage](x)
            mask, probability, state = self.gate(x, stage, state)
            x = torch.relu(x + mask.view(-1, 1, 1, 1) * block(x))
            masks.append(mask)
            probabilities.append(probability)
        return self.head(x.mean((2, 3))), masks, probabilities


def train(model: SkipNet, images: Tensor, labels: Tensor, *, epochs: int, price: float) -> None:
    """Minimise the cross-entropy plus `price` × the share of the blocks that run."""
    batch = 64
    steps = len(labels) // batch
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=epochs * steps)
    model.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(labels))[: steps * batch].view(steps, batch):
            logits, masks, _ = model(images[chosen])
            loss = F.cross_entropy(logits, labels[chosen]) + price * torch.stack(masks).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    model.eval()


@torch.no_grad()
def score(model: SkipNet, images: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    """Accuracy, and how often each block runs (G,)."""
    logits, masks, _ = model(images)
    return (logits.argmax(1) == labels).float().mean().item(), torch.stack(masks).mean(1)


def main() -> None:
    """Train on the embedded digits and save the weights."""
    options = argparse.ArgumentParser(description="Train a small SkipNet on the embedded digits, in half a minute.")
    options.add_argument("--out", type=Path, default=Path("skipnet.safetensors"))
    options.add_argument("--epochs", type=int, default=20)
    options.add_argument("--price", type=float, default=0.1, help="of running all blocks, beside a loss in nats")
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    data = load_data("digits", seed=chosen.seed)
    torch.manual_seed(chosen.seed)
    model = SkipNet()
    train(model, data.train.images, data.train.labels, epochs=chosen.epochs, price=chosen.price)
    accuracy, rates = score(model, data.test.images, data.test.labels)
    save_file(model.state_dict(), chosen.out)
    print(f"accuracy on {len(data.test)} test images: {accuracy:.1%}")
    print(f"mean execution rate: {rates.mean():.1%} (block by block: {', '.join(f'{rate:.0%}' for rate in rates)})")
    print(f"weights: {chosen.out}")


# Above, nothing knows of the adapter. Below is all that it takes.


def network() -> nn.Module:
    """For `aigrob attack --model examples.skipnet:network`: the network above, its gates open to aigrob."""
    net = SkipNet()
    return adapt(
        net,
        gates=[net.gate],
        blocks=list(net.blocks),
        read=lambda _, output: output[1].logit(1e-6),
        write=lambda output, mask: (mask, *output[1:]),
    )


if __name__ == "__main__":
    main()
