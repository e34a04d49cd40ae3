"""Are the test images new to the network?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robustbench_aig.checks.case import Case
from robustbench_aig.checks.check_class import Check
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.thresholds import Limits, Status, exact, percent
from robustbench_aig.data import ImageSet

_AT_ONCE = 1000
_WORST: tuple[Status, ...] = ("fail", "warn", "pass", "n/a")


@dataclass(frozen=True)
class SeenInTraining(Check):
    """Test images among those of the training, and an accuracy that only images from there have.

    Two images are the same where their 8-bit pixels are. Where test images were changed, or nobody knows the training
    images, their accuracy is left: it can't be far above that of the validation images, which weren't learned either.
    What is known of that is its exact interval, so that it's compared with the upper end.

    Attributes:
        most: pixel values of training images that are read; more would take long.
        more: share of right images above that accuracy up to which it's a pass, and above which it's a fail.
    """

    images: int = 1000
    most: int = 2**31
    more: tuple[float, float] = (0.01, 0.03)

    name: ClassVar[str] = "seen-in-training"
    title: ClassVar[str] = "Test images are new to the network"
    asks: ClassVar[str] = "Are the test images not among the training images, and no easier than validation images?"
    advice: ClassVar[str] = "Test on other images: accuracy on training images says little about new images."
    limits: ClassVar[Limits] = Limits(0.01, 0.05)

    def __call__(self, case: Case) -> Finding:
        """Count the images that are among those of the training, or those that are right; whichever tells more."""
        both = self._shared(case), self._easy(case)
        if not any(finding.n for finding in both):
            return self.unfit("; ".join(finding.evidence for finding in both))
        return min(both, key=lambda finding: (_WORST.index(finding.status), not finding.n))

    def _shared(self, case: Case) -> Finding:
        if not case.training:
            return self.unfit("the training images are not known")
        number = sum(map(len, case.training))
        if number * case.images.pixels[0].numel() > self.most:
            return self.unfit(f"{number:,} training images are too many to compare with")
        own = digests(case.images.pixels[: self.images])
        known = torch.cat([digests_of(images) for images in case.training])
        count = int(torch.isin(own, known.to(own.device)).sum())
        evidence = f"of {len(own)} test images {count} are among the {number:,} training images"
        return self.found(count, len(own), evidence)

    def _easy(self, case: Case) -> Finding:
        if case.validation is None:
            return self.unfit("no accuracy on validation images is recorded")
        right, of = case.validation
        above = exact(right, of).high
        warn, fail = (above + more for more in self.more)
        if fail >= 1:
            return self.unfit(
                f"{percent(right / of)} of {of} validation images are right, so a higher accuracy would be no sign"
            )
        scores = case.clean[: self.images]
        count = int((scores > 0.5).sum())
        evidence = (
            f"{percent(count / len(scores))} of {len(scores)} images are right, and {percent(right / of)} of {of} "
            f"validation images, or up to {percent(above)}"
        )
        return self.found(count, len(scores), evidence, {"validation": right / of}, Limits(warn, fail))

    def cost(self, case: Case) -> Cost:
        """A judgement, which others share."""
        return Cost(forwards=min(self.images, len(case.images)) * (2 * case.draws if case.subject.random else 1))


def digests_of(images: ImageSet) -> Tensor:
    """(N,) int64, one of every image of a set."""
    return torch.cat([digests(images.raw(index)) for index in torch.split(torch.arange(len(images)), _AT_ONCE)])


def digests(pixels: Tensor) -> Tensor:
    """(N,) int64: of images (N, C, H, W), uint8 or in [0, 1], by their 8-bit pixels.

    A sum of the pixels, each times a random odd number, modulo 2^64: two images have it in common by a chance of 2^-56
    or less.
    """
    levels = pixels if pixels.dtype == torch.uint8 else (pixels * 255).round()
    generator = torch.Generator().manual_seed(0)
    weights = torch.randint(-(2**62), 2**62, (pixels[0].numel(),), generator=generator) * 2 + 1
    return (levels.flatten(1).to(torch.int64) * weights.to(pixels.device)).sum(1)
