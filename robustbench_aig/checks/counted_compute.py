"""Is the compute that is recorded of an image what ran for it?"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robustbench_aig.checks.case import Case
from robustbench_aig.checks.check_class import Check
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.thresholds import Limits, percent
from robustbench_aig.errors import InputError
from robustbench_aig.evaluation import Images
from robustbench_aig.gating import Frozen, Policy, gating
from robustbench_aig.models import ForeignNetwork, adapted_blocks
from robustbench_aig.models.counting import counting, metered
from robustbench_aig.network_modes import in_eval_mode


@dataclass(frozen=True)
class CountedCompute(Check):
    """Multiply-accumulates that ran for single images against those that are recorded for their decisions.

    Each image goes through the network alone, once under the policy and once under decisions of a coin per gate, which
    close blocks that the policy leaves open. Where an adapted network computes closed blocks all the same, what ran
    inside of them is left out, as the record does.
    """

    images: int = 72

    name: ClassVar[str] = "counted-compute"
    title: ClassVar[str] = "The recorded compute is what ran"
    asks: ClassVar[str] = "Does an image execute as many multiply-accumulates as are recorded for its decisions?"
    advice: ClassVar[str] = (
        "Do not trust numbers about compute: count again what always runs, and the cost of each block without shortcut."
    )
    limits: ClassVar[Limits] = Limits(0.0, 0.05, strict=True)

    def __call__(self, case: Case) -> Finding:
        """Count the images for which more or less ran than is recorded."""
        images = case.images.pick(slice(self.images))
        apart = torch.stack([_apart(case, images.pick(slice(one, one + 1))) for one in range(len(images))])
        if bool(apart.isnan().any()):
            return self.unfit("the compute of this network isn't known")
        # Each cost is rounded down to whole operations.
        allowed = 1 + len(case.subject.profile.blocks)
        wrong = (apart[:, 0].abs() > allowed).any(1)
        worst = apart[:, 0].abs().max().item()
        share = (apart[:, 0].abs() / apart[:, 1].clamp_min(1)).max().item()
        evidence = (
            f"for {int(wrong.sum())} of {len(images)} images more or fewer multiply-accumulates ran than are recorded, "
            f"by up to {worst:,.0f}, {percent(share)} of what ran"
        )
        return self.found(int(wrong.sum()), len(images), evidence, {"largest difference": worst})

    def cost(self, case: Case) -> Cost:
        """Two passes; counting makes them slower."""
        return Cost(forwards=4 * self.images)


def _apart(case: Case, image: Images) -> Tensor:
    """(2, 2): recorded less ran, and ran; each under the policy and under a coin."""
    gates = len(case.subject.profile.blocks)
    coin = case.stream(image, "counted").uniform(max(1, gates))[:, :gates] < 0.5
    policies = [case.policy(image, "counted"), *([Frozen(coin)] if gates else [])]
    found = torch.tensor([_ran(case, image.pixels, policy) for policy in policies], dtype=torch.float64)
    return torch.stack([found[:, 0] - found[:, 1], found[:, 1]])


def _ran(case: Case, image: Tensor, policy: Policy) -> tuple[float, float]:
    """Multiply-accumulates recorded for one image (1, C, H, W) under a policy, and those that ran.

    An image goes in twice, and counts for half, where the network can't do with one.
    """
    model, profile = case.subject.model, case.subject.profile
    twice = any(isinstance(part, ForeignNetwork) and part.paired for part in model.modules())
    given = image.repeat(2, 1, 1, 1) if twice else image
    blocks = adapted_blocks(model)
    shares = Counter(module for group in blocks for module in group)
    with ExitStack() as stack:
        stack.enter_context(in_eval_mode(model))
        counter = stack.enter_context(counting())
        trace = stack.enter_context(gating(model, policy, execution="sparse"))
        calls = {module: stack.enter_context(metered(module, counter)) for module in shares}
        model(given)
    if counter.uncounted:
        raise InputError(f"{', '.join(sorted(counter.uncounted))} runs, whose cost isn't known")
    decisions = trace.decisions[:1] if trace.gates else image.new_zeros(1, 0)
    closed = [group for group, z in zip(blocks, decisions[0].tolist(), strict=False) if not z]
    skipped = sum(sum(calls[module]) / shares[module] for group in closed for module in group)
    return profile.executed(decisions).item(), (counter.macs - skipped) / len(given)
