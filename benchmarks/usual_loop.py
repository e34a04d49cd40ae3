"""The training loop that people write, after pytorch/examples and the official train.py of ConvNet-AIG.

Pillow images, one by one, through torchvision's transforms in worker processes; single precision and contiguous
tensors; torch's default optimizer; loss and accuracy fetched after every step. On CUDA pinned memory, and cuDNN looks
for its fastest kernels.

In three things it's better off than the original: images lie in memory, as torchvision's CIFAR10 holds them, so
nothing is read or decoded; its epoch never ends, so workers start once and no step waits for the first batch of an
epoch; the rate loss is aigrob's, for all gates at once.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from robustbench_aig.data import DataSet
from robustbench_aig.gating import Sampled, gating
from robustbench_aig.recipes import Augment
from robustbench_aig.training import Job
from robustbench_aig.training.losses import rate_loss

WORKERS = min(os.cpu_count() or 1, 8)
PREFETCHED = 2
"""Batches that each worker prepares in advance: torch's default."""

_ENDLESS = 10**9


class PilImages(Dataset[tuple[Tensor, int]]):
    """The training images as normalised tensors (C, H, W) and labels, made of Pillow images when asked for."""

    def __init__(self, data: DataSet, augment: Augment) -> None:
        images = data.train.images.cpu()
        if images.is_floating_point():
            images = (images * 255).round().to(torch.uint8)
        pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        self._pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        self._labels: list[int] = data.train.labels.tolist()
        _, height, width = data.shape
        padding = [round(augment.crop * width), round(augment.crop * height)]
        self._transform = transforms.Compose(
            [
                *([transforms.RandomCrop((height, width), padding=padding)] if augment.crop > 0 else []),
                *([transforms.RandomHorizontalFlip()] if augment.flip else []),
                transforms.ToTensor(),
                transforms.Normalize(data.mean, data.std),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image: Tensor = self._transform(Image.fromarray(self._pixels[index]))
        return image, self._labels[index]


def usual_loop(model: nn.Module, job: Job) -> Generator[float, None, None]:
    """Train a network by a job's recipe, one step for each loss that is asked for; closing it ends the workers.

    Args:
        model: in train mode on the job's device; it isn't to normalise, because the transforms do.
        job: names data, recipe and device; its precision isn't heeded.
    """
    device, training = job.hardware.device, job.training
    settings, targets = training.optimizer, torch.tensor(job.recipe.model.targets, device=device)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )
    for x, labels in _batches(job):
        images, wanted = x.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        with (
            torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True),
            gating(model, Sampled()) as trace,
        ):
            logits = model(images)
            loss = F.cross_entropy(logits, wanted, label_smoothing=training.label_smoothing)
            if training.rate_loss is not None:
                reduction = training.rate_loss.reduction
                loss = loss + training.rate_loss.weight * rate_loss(trace.decisions, targets, reduction)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        _ = (logits.argmax(1) == wanted).float().mean().item()
        yield loss.item()


def _batches(job: Job) -> DataLoader[tuple[Tensor, int]]:
    images = PilImages(job.data, job.training.augment)
    return DataLoader(
        images,
        batch_size=job.batch,
        sampler=RandomSampler(images, num_samples=_ENDLESS),  # shuffles again after every epoch
        num_workers=WORKERS,
        prefetch_factor=PREFETCHED,
        pin_memory=job.hardware.device.type == "cuda",
    )
