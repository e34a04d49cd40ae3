"""Is the network as random as its gate policy says, and does the noise belong to the image?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robustbench_aig.checks.case import Case, over
from robustbench_aig.checks.check_class import Check, noiseless
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.thresholds import Limits
from robustbench_aig.checks.whole_passes import differs, logits_of
from robustbench_aig.evaluation import Images
from robustbench_aig.randomness import seed_of

SAME = 1e-4
"""Logits over their length that are further apart than this differ by more than rounding (AutoAttack's number)."""


@dataclass(frozen=True)
class Randomness(Check):
    """Repeated passes, compared with each other.

    Attributes:
        passes: over every image.
    """

    passes: int = 10

    name: ClassVar[str] = "randomness"
    title: ClassVar[str] = "The network is as random as its policy says"
    asks: ClassVar[str] = "Do repeated passes agree, unless the gate policy is random?"
    advice: ClassVar[str] = (
        "Evaluate it under a policy that says what it does: a random network needs gradients over draws and fresh "
        "draws for scoring."
    )
    limits: ClassVar[Limits] = Limits(0.0, 0.05, strict=True)

    def __call__(self, case: Case) -> Finding:
        """Count the images on which passes differ though they should agree, or agree though they should differ."""
        images = case.images.pick(slice(self.images))
        with torch.random.fork_rng(devices=[images.pixels.device] if images.pixels.is_cuda else []):
            torch.manual_seed(seed_of("checks", case.seed, self.name))
            found = over(lambda part: self._pass_by_pass(case, images.pixels[part]), len(images))
        unlike, relabelled = found.unbind(1)
        moved, flips = int(unlike.sum()), int(relabelled.sum())
        evidence = (
            f"in {self.passes} passes the logits of {moved} of {len(images)} images moved, and the predicted class of "
            f"{flips}; the policy '{case.subject.policy}' is {'random' if case.subject.random else 'deterministic'}"
        )
        numbers = {"moved": moved / len(images), "relabelled": flips / len(images)}
        if case.subject.random:
            # That a draw makes no difference to some images is no defect; that none makes any is.
            return self.found(0 if moved else len(images), len(images), evidence, numbers)
        return self.found(moved, len(images), evidence, numbers)

    def _pass_by_pass(self, case: Case, x: Tensor) -> Tensor:
        """(B, 2) bool: whether logits differ from those of the first pass, and whether the predicted class does."""
        first = logits_of(case.subject.model, x, case.subject.deployed())
        unlike = relabelled = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for _ in range(self.passes - 1):
            other = logits_of(case.subject.model, x, case.subject.deployed())
            unlike = unlike | differs(first, other, SAME)
            relabelled = relabelled | (first.argmax(1) != other.argmax(1))
        return torch.stack([unlike, relabelled], 1)

    def cost(self, case: Case) -> Cost:
        """The passes."""
        return Cost(forwards=self.passes * self.images)


@dataclass(frozen=True)
class NoiseScope(Check):
    """The same noise for an image whatever its company: noise that is fixed by a seed per batch isn't fixed at all.

    An attack that drops the images that are lost would see other noise for the rest (Carlini et al., arXiv 1902.06705).
    """

    name: ClassVar[str] = "noise-scope"
    title: ClassVar[str] = "The noise belongs to the image"
    asks: ClassVar[str] = "With the same noise, are an image's logits the same in any batch and any order?"
    advice: ClassVar[str] = (
        "Draw each image's noise from its own stream, as the policies of robustbench_aig.gating do. Otherwise frozen "
        "noise and paired comparisons are wrong."
    )
    limits: ClassVar[Limits] = Limits(0.0, 0.05)

    def __call__(self, case: Case) -> Finding:
        """Count the images whose logits depend on the pass or on the company, under the same streams."""
        if not case.subject.random:
            return self.unfit(noiseless(case))
        images = case.images.pick(slice(self.images))
        whole = _with_noise(case, images)
        again = differs(whole, _with_noise(case, images), SAME)
        moved = again | differs(whole, in_other_company(case, images), SAME)
        evidence = (
            f"under the same noise the logits of {int(moved.sum())} of {len(images)} images changed with batch or "
            f"order, those of {int(again.sum())} from pass to pass"
        )
        return self.found(int(moved.sum()), len(images), evidence)

    def cost(self, case: Case) -> Cost:
        """Three passes."""
        return Cost(forwards=3 * self.images)


def in_other_company(case: Case, images: Images) -> Tensor:
    """(N, classes) logits under held noise, the images in reverse order and in batches of a third."""
    order = torch.arange(len(images), device=images.ids.device).flip(0)
    parts = torch.split(order, max(1, len(images) // 3))
    return torch.cat([_with_noise(case, images.pick(part)) for part in parts]).flip(0)


def _with_noise(case: Case, images: Images) -> Tensor:
    """(N, classes) logits in one batch, under the noise of the images' streams."""
    return logits_of(case.subject.model, images.pixels, case.policy(images, "scope"))
