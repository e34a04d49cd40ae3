"""The best path for all images once batch-norm's statistics are taken under it.

Those of a network come from the paths that its gates took in training. A path that loses by them alone is no proof that
the choice pays, so each rival gets its own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustbench_aig.data import ImageSet
from robustbench_aig.evaluation.static_path_search import Search
from robustbench_aig.evaluation.subjects import Network
from robustbench_aig.gating import gating
from robustbench_aig.gating.policies import Static

BATCH, BATCHES = 256, 16
"""Training images in a batch, as the networks were trained with, and batches that statistics are taken from."""

FIRST, SECOND = 40, 8
"""Paths that are settled on a single batch, those most accurate without; and those of them settled on all batches."""


def settled(network: Network, search: ImageSet, training: ImageSet, seed: int) -> tuple[nn.Module, Tensor]:
    """A copy of the network with the statistics of the best cheap path, and that path (G,).

    Args:
        network: gated, with few gates.
        search: images that paths are compared on.
        training: those that the network learned from.
        seed: for networks that draw.
    """
    model, every = copy.deepcopy(network.model), Search(network, search, seed, None)
    # A folder lists its images class by class, and a batch of one class has statistics of its own.
    mixed = training.select(torch.randperm(len(training), generator=torch.Generator().manual_seed(seed)))
    batches = [_images(mixed, start) for start in range(0, BATCH * BATCHES, BATCH)]
    paths = every.every(every.argmax()[1])
    paths = _best(paths, every.right(paths), FIRST)
    paths = _best(paths, _right_once_settled(model, paths, batches[:1], search.limit(400, seed)), SECOND)
    (path,) = _best(paths, _right_once_settled(model, paths, batches, search), 1)
    _settle(model, path, batches)
    return model, path


@torch.no_grad()
def right(model: nn.Module, path: Tensor, images: ImageSet) -> Tensor:
    """(N,) bool, under one path for all images."""
    found = []
    for start in range(0, len(images), BATCH):
        with gating(model, Static("static", path)):
            found.append(model(_images(images, start)).argmax(1) == images.labels[start : start + BATCH])
    return torch.cat(found)


def _right_once_settled(model: nn.Module, paths: Tensor, batches: Sequence[Tensor], images: ImageSet) -> Tensor:
    counts = []
    for path in paths:
        _settle(model, path, batches)
        counts.append(right(model, path, images).sum())
    return torch.stack(counts)


@torch.no_grad()
def _settle(model: nn.Module, path: Tensor, batches: Sequence[Tensor]) -> None:
    """Batch-norm's running statistics become the mean over these batches; all else stays."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    for batch in batches:
        with gating(model, Static("static", path)):
            model(batch)
    model.eval()


def _best(paths: Tensor, counts: Tensor, most: int) -> Tensor:
    return paths[counts.topk(min(most, len(paths))).indices]


def _images(images: ImageSet, start: int) -> Tensor:
    index = torch.arange(start, min(start + BATCH, len(images)))
    return images.batch(index).contiguous(memory_format=torch.channels_last)
