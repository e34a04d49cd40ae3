"""Networks that are inspected, and what a pass over one image shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustbench_aig.data.images import ImageSet, resident
from robustbench_aig.evaluation import Network
from robustbench_aig.evaluation.inspection import inspect_network
from robustbench_aig.gating import Argmax, Policy, PooledGate, Sampled, deployed_policy, gating
from robustbench_aig.inspection_record import Inspection
from robustbench_aig.models import GatedBlock, profile_macs
from robustbench_aig.models.branches import residual_branches
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import Family
from robustbench_aig.records import DataRecord, GateRecord, ModelRecord
from robustbench_aig.runs import EpochRecord
from tests.networks import images

SEED = 5
CLASSES = [f"class {label}" for label in range(10)]


def network(model: nn.Module, family: Family = "gated") -> Network:
    profile = profile_macs(model, (3, 12, 12))
    model.eval().to(memory_format=torch.channels_last)
    names = [branch.name for branch in residual_branches(model)]
    gates = [GateRecord(name=name, macs=macs) for name, macs in zip(names, profile.blocks, strict=False)]
    record = ModelRecord(
        name="made",
        recipe="test/made",
        family=family,
        parameters=1,
        total_macs=profile.total,
        gates=gates,
        rates=[0.5] * len(gates) if gates else None,
        weights_digest="0",
    )
    return Network(record, model, profile)


def image_set(count: int, labels: Tensor | None = None) -> ImageSet:
    """Images of very different colours and contrasts, so that gates and classes differ."""
    pixels, made, ids = images(count)
    generator = torch.Generator().manual_seed(1)
    colour, contrast = (torch.rand(count, channels, 1, 1, generator=generator) for channels in (3, 1))
    varied = (colour + contrast * (pixels - 0.5)).clamp(0, 1)
    return resident(varied, made if labels is None else labels, ids)


def balanced(model: nn.Module) -> nn.Module:
    """Shift every gate and class so that each is chosen for many of the images."""
    x = image_set(200).images
    gates = [module.gate for module in model.modules() if isinstance(module, GatedBlock)]
    with torch.no_grad():
        for position, gate in enumerate(gates):
            if isinstance(gate, PooledGate):
                with gating(model, Argmax()) as trace:
                    model(x)
                gate.fc2.bias[1].sub_(trace.probabilities[:, position].logit().median())
        head = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == 10][-1]
        logits = model(x)
        head.bias.sub_(logits.mean(0))
        head.weight.div_(logits.std(0)[:, None])
        head.bias.div_(logits.std(0))
    return model


def inspected(
    of: Network,
    policy: str,
    tested: ImageSet,
    history: list[EpochRecord] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    data = DataRecord(
        name="made", split="test", n=len(tested), available=len(tested), shape=(3, 12, 12), classes=CLASSES, digest="0"
    )
    return inspect_network(
        of,
        policy,
        tested,
        data=data,
        history=history or [],
        seed=SEED,
        device=torch.device("cpu"),
        command="test",
        progress=progress,
    )


@dataclass
class Seen:
    """What one pass over one image showed."""

    image: int
    label: int
    prediction: int
    gates: list[bool]
    probability: float


def one_by_one(model: nn.Module, policy: str, tested: ImageSet) -> list[Seen]:
    """Every image alone, densely, without anything of the inspection."""
    found = []
    for position in range(len(tested)):
        part = slice(position, position + 1)
        noise = Stream.of(tested.ids[part], SEED, "judge")
        decides: Policy = Sampled(noise) if policy == "sampled" else deployed_policy(policy, noise, [0.5] * 9)
        with torch.no_grad(), gating(model, decides) as trace:
            logits = model(tested.images[part])
        decisions = trace.decisions[0] != 0 if trace.gates else torch.zeros(0)
        found.append(
            Seen(
                int(tested.ids[position]),
                int(tested.labels[position]),
                int(logits.argmax()),
                [bool(decision) for decision in decisions],
                float(trace.probabilities[0].sum()) if trace.gates else 0.0,
            )
        )
    return found


def answers(model: nn.Module, policy: str, tested: ImageSet) -> Tensor:
    """Classes (N,) that a dense pass over all images at once predicts."""
    noise = Stream.of(tested.ids, SEED, "judge")
    with torch.no_grad(), gating(model, deployed_policy(policy, noise, [0.5] * 9)):
        predictions: Tensor = model(tested.images).argmax(1)
    return predictions
