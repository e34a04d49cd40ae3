"""Is an image judged alone as it is judged in company?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robustbench_aig.checks.case import Case
from robustbench_aig.checks.check_class import Check
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.gate_randomness import SAME
from robustbench_aig.checks.thresholds import Limits
from robustbench_aig.checks.whole_passes import logits_of
from robustbench_aig.evaluation import Images


@dataclass(frozen=True)
class AloneAndTogether(Check):
    """Each image in a batch of its own against all of them in one batch, the gates' noise held.

    An attack that drops the images that are lost, and the last images of a data set, come in batches of any size.
    """

    name: ClassVar[str] = "alone-and-together"
    title: ClassVar[str] = "Same logits alone and in a batch"
    asks: ClassVar[str] = "Does an image have the same logits in a batch of one as in a large batch?"
    advice: ClassVar[str] = (
        "The network must treat every image independently: look for batch statistics, squeeze(), and code that depends "
        "on the batch size."
    )
    limits: ClassVar[Limits] = Limits(0.0, 0.05)

    def __call__(self, case: Case) -> Finding:
        """Count the images whose logits differ."""
        images = case.images.pick(slice(self.images))
        together = _logits(case, images)
        by_itself = _apart(together, _logits(case, images))
        if bool(by_itself.all()):
            return self.unfit("the logits change from pass to pass (see randomness): this hides what neighbours do")
        try:
            alone = torch.cat([_logits(case, images.pick(slice(one, one + 1))) for one in range(len(images))])
        except Exception as error:  # noqa: BLE001 - foreign networks may fail in any way
            return self.broken(f"the network fails on a batch of one image: {type(error).__name__}: {error}")
        if alone.shape != together.shape:
            shapes = f"{tuple(alone.shape)}, and one batch {tuple(together.shape)}"
            return self.broken(f"{len(images)} batches of one image give logits {shapes}")
        moved = _apart(together, alone) & ~by_itself
        other = int((moved & (together.argmax(1) != alone.argmax(1))).sum())
        evidence = (
            f"{int(moved.sum())} of {len(images)} images have other logits in a batch of one than in a batch of "
            f"{len(images)}, {other} another class"
        )
        return self.found(int(moved.sum()), len(images), evidence, {"another class": other / len(images)})

    def cost(self, case: Case) -> Cost:
        """Three passes."""
        return Cost(forwards=3 * self.images)


def _apart(logits: Tensor, other: Tensor) -> Tensor:
    """(N,) bool: whether logits (N, classes) differ by more than rounding; NaN does."""
    unlike: Tensor = ~((logits - other).norm(dim=1) <= SAME * logits.norm(dim=1))
    return unlike


def _logits(case: Case, images: Images) -> Tensor:
    """(N, classes) in one batch, as the judge has them."""
    return logits_of(case.subject.model, images.pixels, case.policy(images, "company"))
