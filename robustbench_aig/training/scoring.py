"""Accuracy and execution rates of a network on a set of images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_aig.data import ImageSet
from robustbench_aig.gating import deployed_policy, gating
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import Family
from robustbench_aig.runs import Score, Scores

_BATCH = 250


POLICIES: dict[Family, tuple[str, ...]] = {
    "plain": ("none",),
    "stochastic": ("expected",),
    "gated": ("argmax", "sampled"),
}
"""The gate policies under which a network is scored: those that it may be deployed with."""


def score(model: nn.Module, images: ImageSet, *, family: Family, seed: int, draws: int) -> Scores:
    """Score a network in eval mode under every policy that is quoted for its family.

    Args:
        model: on the device of the images; left in eval mode.
        images: resident on a device.
        family: decides the policies.
        seed: of the gates' noise, which belongs to the image.
        draws: passes per image under a random policy.
    """
    return {policy: _score(model, images, policy, seed, draws) for policy in POLICIES[family]}


@torch.no_grad()
def _score(model: nn.Module, images: ImageSet, policy: str, seed: int, draws: int) -> Score:
    model.eval()
    draws = draws if deployed_policy(policy).random else 1
    right = torch.zeros((), dtype=torch.int64, device=images.labels.device)
    opened: Tensor | None = None
    for index in torch.split(torch.arange(len(images)), _BATCH):
        x = images.batch(index).contiguous(memory_format=torch.channels_last)
        noise = Stream.of(images.ids[index], seed, "scoring")
        with gating(model, deployed_policy(policy, noise), execution="sparse") as trace:
            for _ in range(draws):
                right += (model(x).argmax(1) == images.labels[index]).sum()
                if trace.gates:
                    batch_opened = trace.decisions.double().sum(0)
                    opened = batch_opened if opened is None else opened + batch_opened
    passes = len(images) * draws
    rates = [] if opened is None else (opened / passes).tolist()
    return Score(
        accuracy=int(right) / passes,
        n=len(images),
        draws=draws,
        mean_rate=sum(rates) / len(rates) if rates else None,
        rates=rates,
    )
