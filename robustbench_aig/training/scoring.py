"""Accuracy and execution rates of a network on a set of images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_aig.data import ImageSet
from robustbench_aig.gating import Argmax, Policy, Sampled, gating
from robustbench_aig.randomness import Stream
from robustbench_aig.runs import Score, Scores

_BATCH = 250


def score(model: nn.Module, images: ImageSet, *, gated: bool, seed: int, draws: int) -> Scores:
    """Score a network in eval mode under every policy that is quoted: plain "none", gated "argmax" and "sampled".

    Args:
        model: on the device of the images; left in eval mode.
        images: resident on a device.
        gated: whether the network has gates.
        seed: of the gates' noise, which belongs to the image.
        draws: passes per image under "sampled".
    """
    if not gated:
        return {"none": _score(model, images, None, 1)}
    return {
        "argmax": _score(model, images, None, 1),
        "sampled": _score(model, images, seed, draws),
    }


@torch.no_grad()
def _score(model: nn.Module, images: ImageSet, seed: int | None, draws: int) -> Score:
    """Without a seed the gates take the likelier side."""
    model.eval()
    right = torch.zeros((), dtype=torch.int64, device=images.labels.device)
    opened: Tensor | None = None
    for index in torch.split(torch.arange(len(images)), _BATCH):
        x = images.batch(index).contiguous(memory_format=torch.channels_last)
        policy: Policy = Argmax() if seed is None else Sampled(Stream.of(images.ids[index], seed, "scoring"))
        with gating(model, policy, execution="sparse") as trace:
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
