"""Is the attacked network the one that is evaluated: the same mode, and no image helped by its neighbours?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from robustbench_aig.checks.case import Case
from robustbench_aig.checks.check_class import Check
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.gate_randomness import SAME
from robustbench_aig.checks.thresholds import Limits
from robustbench_aig.checks.whole_passes import differs, logits_of, quiet
from robustbench_aig.network_modes import frozen_in_eval_mode


@dataclass(frozen=True)
class OneMode(Check):
    """A pass as the judge makes it against passes as an attack makes them, without the gates' noise."""

    name: ClassVar[str] = "mode"
    title: ClassVar[str] = "Same mode in attack and evaluation"
    asks: ClassVar[str] = "Does an image have the same logits in the evaluation and in an attack, in any batch?"
    advice: ClassVar[str] = (
        "Put all parts of the network into eval mode: if batch norm uses the statistics of the batch, the attacked "
        "images of a batch influence each other."
    )
    limits: ClassVar[Limits] = Limits(0.0, 0.05)

    def __call__(self, case: Case) -> Finding:
        """Count the images whose logits differ between the two."""
        images, model = case.images.pick(slice(self.images)), case.subject.model
        policy = quiet(case.subject.deployed())
        with _watched(model) as training, _unchanged(model) as changed:
            judged = logits_of(model, images.pixels, policy)
            again = logits_of(model, images.pixels, policy)
            by_itself = differs(judged, again, SAME)
            with frozen_in_eval_mode(model):
                order = torch.arange(len(images), device=images.ids.device).flip(0)
                parts = torch.split(images.pixels[order], max(1, len(images) // 3))
                attacked = torch.cat([logits_of(model, part, policy) for part in parts]).flip(0)
        count = int((differs(judged, attacked, SAME) & ~by_itself).sum())
        if bool(by_itself.all()):
            return self.unfit(
                "the logits change from pass to pass (see randomness), so the effect of a mode cannot be seen"
            )
        named = f"; in training mode: {', '.join(sorted(training)[:3])}" if training else ""
        stored = f"; a pass changes the buffers of {', '.join(changed[:3])}" if changed else ""
        evidence = f"{count} of {len(images)} images have other logits in an attack than in the evaluation"
        return self.found(count, len(images), f"{evidence}{named}{stored}", {"parts in training mode": len(training)})

    def cost(self, case: Case) -> Cost:
        """Three passes."""
        return Cost(forwards=3 * self.images)


@contextmanager
def _watched(model: nn.Module) -> Iterator[set[str]]:
    """Collects the names of the parts without parts of their own that are called in training mode."""
    training: set[str] = set()
    hooks = []
    for name, module in model.named_modules():
        if not any(module.children()):

            def note(part: nn.Module, _: object, name: str = name) -> None:
                if part.training:
                    training.add(name)

            hooks.append(module.register_forward_pre_hook(note))
    try:
        yield training
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[list[str]]:
    """Restores buffers that passes change, and collects their names."""
    before: dict[str, Tensor] = {name: buffer.clone() for name, buffer in model.named_buffers()}
    changed: list[str] = []
    try:
        yield changed
    finally:
        for name, buffer in model.named_buffers():
            if not torch.equal(buffer, before[name]):
                changed.append(name)
                buffer.copy_(before[name])
