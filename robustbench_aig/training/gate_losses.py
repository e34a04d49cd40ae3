"""Losses that make gates depend on the image. None knows which pattern of gates would serve all images best."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.special import betainc
from torch import Tensor

from robustbench_aig.distributed import World

_EDGE = 1e-6
"""Probabilities are kept this far from 0 and 1, where slopes are infinite; a gate's logit has almost none there."""

# Linear interpolation between so many cells is finer than an estimate from one batch can be.
_CELLS = 4096


def of_whole_batch(local: Tensor, world: World) -> Tensor:
    """What all processes have (B, …), of which this one's part (B / W, …) has a gradient W times as large.

    Data-parallel training means gradients over processes, so that of any loss of the whole batch comes out exactly.
    """
    if world.size == 1:
        return local
    parts = world.gather(local).view(world.size, *local.shape).clone()
    # DDP divides gradients by the number of processes, so this part's is multiplied by it.
    parts[world.rank] = local.detach() + world.size * (local - local.detach())
    return parts.flatten(0, 1)


def mutual_information(p: Tensor, targets: Tensor) -> Tensor:
    """H(mean p) - mean H(p) in nats, mean over gates: what a gate's sampled decision tells of the image of the batch.

    Args:
        p: (B, G) open probabilities.
        targets: (G,) execution rates; a gate with target 1 is forced open and left out.

    Returns:
        A scalar from 0 (every gate is the same for all images) to log 2; 0 where every gate is forced open.
    """
    mean, free = p.mean(0), targets < 1
    own = _entropy(torch.stack([mean, 1 - mean])) - _mean_entropy(p)
    return (own * free).sum() / free.sum().clamp_min(1)


def pair_information(p: Tensor, targets: Tensor) -> Tensor:
    """Half of what the decisions of two gates together tell of the image in nats, mean over pairs of gates.

    Gates that split the images in two halves tell log 2 / 2 where all of them do so in the same way, and log 2 where
    each does so independently of the others.

    Args:
        p: (B, G) open probabilities.
        targets: (G,) execution rates; a gate with target 1 is forced open and left out.

    Returns:
        A scalar from 0 to log 2; 0 where fewer than two gates aren't forced open.
    """
    own = _mean_entropy(p)
    told = _pair_entropy(p, p.new_ones(1, len(p)))[0] - own[:, None] - own[None]
    return _mean_of_pairs(told, targets) / 2


def class_information(p: Tensor, classes: Tensor, targets: Tensor) -> Tensor:
    """Half of what the decisions of two gates together tell of the image's class in nats, mean over pairs of gates.

    Args:
        p: (B, G) open probabilities.
        classes: (B, C) 1 where the image is of the class, else 0.
        targets: (G,) execution rates; a gate with target 1 is forced open and left out.

    Returns:
        A scalar from 0 to log 2; 0 where fewer than two gates aren't forced open.
    """
    share = classes.mean(0)
    within = (share[:, None, None] * _pair_entropy(p, classes.T)).sum(0)
    return _mean_of_pairs(_pair_entropy(p, p.new_ones(1, len(p)))[0] - within, targets) / 2


def _pair_entropy(p: Tensor, members: Tensor) -> Tensor:
    """(C, G, G) of the four outcomes of two gates' decisions in each of C groups of images; members (C, B) are 0 or 1.

    Decisions are independent of each other once their p (B, G) are given. A group without images has any value.
    """
    weights = members / members.sum(1, keepdim=True).clamp_min(1)
    mean, both = weights @ p, torch.einsum("cb,bi,bj->cij", weights, p, p)
    first, second = mean[:, :, None] - both, mean[:, None] - both
    return _entropy(torch.stack([both, first, second, 1 - both - first - second]))


def _mean_of_pairs(told: Tensor, targets: Tensor) -> Tensor:
    """Mean of (G, G) values over the pairs of gates of which neither is forced open; 0 where there is none."""
    free = targets < 1
    pairs = (free[:, None] & free[None]).triu(1)
    return (told * pairs).sum() / pairs.sum().clamp_min(1)


def _mean_entropy(p: Tensor) -> Tensor:
    """(G,) mean over images of the entropy of decisions that are open with probability p (B, G)."""
    return _entropy(torch.stack([p, 1 - p])).mean(0)


def _entropy(shares: Tensor) -> Tensor:
    """(…,) of distributions (K, …) over K outcomes."""
    shares = shares.clamp(_EDGE, 1 - _EDGE)
    return -(shares * shares.log()).sum(0)


def beta_distance(p: Tensor, targets: Tensor, a: float, b: float) -> Tensor:
    """Cramér-von Mises distance of each gate's open probabilities in the batch from Beta(a, b), mean over gates.

    Of a gate with sorted probabilities p_1 ≤ … ≤ p_B it is the mean over i of (i / (B + 1) - F(p_i))², F being the
    distribution function (Bejnordi et al., arXiv 1907.06627). It weighs less than 1, whatever the batch.

    Args:
        p: (B, G) open probabilities.
        targets: (G,) execution rates; a gate with target 1 is forced open and left out.
        a: of the Beta distribution.
        b: the same.
    """
    ordered = p.sort(0).values
    empirical = torch.arange(1, len(p) + 1, device=p.device, dtype=p.dtype) / (len(p) + 1)
    free = targets < 1
    distances = (empirical[:, None] - _beta_cdf(ordered, a, b)).square().mean(0)
    return (distances * free).sum() / free.sum().clamp_min(1)


def _beta_cdf(p: Tensor, a: float, b: float) -> Tensor:
    """The distribution function of Beta(a, b), of the shape of p; by linear interpolation, so that no step waits.

    The table is even in the angle whose squared sine is p: there the function is less steep at 0 and 1 than in p.
    """
    table = _table(a, b, p.device, p.dtype)
    place = p.clamp(_EDGE, 1 - _EDGE).sqrt().asin() * (2 * _CELLS / torch.pi)
    cell = place.detach().long().clamp(0, _CELLS - 1)
    return torch.lerp(table[cell], table[cell + 1], place - cell)


@cache
def _table(a: float, b: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(cells + 1,) values of the distribution function; it lies on the device once for all steps."""
    values = betainc(a, b, np.sin(np.linspace(0, np.pi / 2, _CELLS + 1)) ** 2)
    return torch.tensor(values, device=device, dtype=dtype)
