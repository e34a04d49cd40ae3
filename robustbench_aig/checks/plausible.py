"""Would the images be classified far better as other input, or the logits as other classes?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import permutations
from typing import ClassVar

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from robustbench_aig.checks.case import Case, over
from robustbench_aig.checks.check_class import Check
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.thresholds import Limits, percent
from robustbench_aig.checks.whole_passes import logits_of
from robustbench_aig.evaluation import Images
from robustbench_aig.statistics import Interval, paired_interval

Change = Callable[[Tensor], Tensor]
"""From images (B, C, H, W) in [0, 1] to what a network may have been made for."""

_COLOURS = "RGB"
# Mean and standard deviation that torchvision's weights were trained with.
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CONTRASTS = {"a quarter of": 0.25, "half": 0.5, "twice": 2.0, "four times": 4.0}


@dataclass(frozen=True)
class Alternative:
    """Another use of the same network.

    Attributes:
        images: what it is given in place of images; None for themselves.
        order: (classes,) which of its logits is that of each label; None for the label's own.
    """

    images: Change | None = None
    order: Tensor | None = None

    def logits(self, case: Case, of: Images, plain: Tensor) -> Tensor:
        """(N, classes) under one draw of each image's noise; `plain` are those of the images as they are."""
        change = self.images
        found = plain if change is None else _logits(case, of, change)
        return found if self.order is None else found[:, self.order]


@dataclass(frozen=True)
class PlausibleInput(Check):
    """The images and classes as they are, against other input and other orders of the classes.

    Nothing recorded is needed: no alternative is better for a network that is used as it was trained. Some of the
    images choose the alternative; the others say how many more of them are right under it.

    Attributes:
        choosing: how many of the images choose.
    """

    images: int = 496
    choosing: int = 96

    name: ClassVar[str] = "plausible-input"
    title: ClassVar[str] = "No other input format or order of classes fits better"
    asks: ClassVar[str] = "Is accuracy as high as with any other order of classes or channels, or scale of pixels?"
    advice: ClassVar[str] = (
        "Use images and labels in the format of the training: look at the order of classes and channels, the range of "
        "pixels, and for a normalisation that is missing, applied twice, or different."
    )
    limits: ClassVar[Limits] = Limits(0.02, 0.05)

    def __call__(self, case: Case) -> Finding:
        """Count the images by which more are right under the best alternative."""
        images = case.images.pick(slice(self.images))
        if len(images) < 2:
            return self.unfit("too few images: some must choose the best alternative, and others judge it")
        first = min(self.choosing, len(images) // 2)
        few, rest = images.pick(slice(first)), images.pick(slice(first, None))
        plain = _logits(case, few)
        found = alternatives(plain, few.labels, case.images.pixels)
        best = max(found, key=lambda name: _worth(case, found[name], few, plain))
        right = _logits(case, rest)
        gained, lost = _compared(case, found[best], rest, right)
        before, count, n = int((right.argmax(1) == rest.labels).sum()), max(0, gained - lost), len(rest)
        evidence = (
            f"{percent(before / n)} of {n} images are right as they are; {best}, the best of {len(found)} "
            f"alternatives, {gained} more are right, and {lost} are no longer right"
        )
        numbers = {"as they are": before / n, "best alternative": (before + gained - lost) / n}
        paired = paired_interval(gained, lost, n)
        return self.found(count, n, evidence, numbers, interval=Interval(max(0.0, paired.low), max(0.0, paired.high)))

    def cost(self, case: Case) -> Cost:
        """Every alternative on some images, the best on the others, and all as they are."""
        return Cost(forwards=len(inputs(case.images.pixels[:2])) * self.choosing + 2 * self.images)


def alternatives(logits: Tensor, labels: Tensor, pixels: Tensor) -> dict[str, Alternative]:
    """By name: other orders of the classes, the first fitted to logits (B, classes) and labels (B,), and other pixels.

    Args:
        logits: of images as they are.
        labels: theirs.
        pixels: (N, C, H, W), whose mean and deviation are those of the data.
    """
    orders = {name: Alternative(order=order) for name, order in class_orders(logits, labels).items()}
    return orders | {name: Alternative(images=change) for name, change in inputs(pixels).items()}


def class_orders(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """By name (classes,) the logit that each label may be, for logits (B, classes) of images with labels (B,)."""
    own = torch.arange(logits.shape[1], device=logits.device)
    return {
        "with the classes as fits a confusion matrix best": fitted(logits.argmax(1), labels, logits.shape[1]),
        "with the logit of the next class": own.roll(-1),
        "with the logit of the class before": own.roll(1),
    }


def fitted(predictions: Tensor, labels: Tensor, classes: int) -> Tensor:
    """(classes,) the class that predictions (B,) call each label, by the assignment under which most are right.

    A label keeps its own class among equals, and where no image has it and another hasn't taken it.
    """
    seen, row = torch.unique(labels, return_inverse=True)
    confusion = torch.zeros(len(seen), classes, device=labels.device)
    confusion.index_put_((row, predictions), torch.ones(len(row), device=labels.device), accumulate=True)
    confusion[torch.arange(len(seen)), seen] += 0.5
    rows, columns = linear_sum_assignment(confusion.cpu().numpy(), maximize=True)
    order = dict(zip(seen.cpu()[rows].tolist(), columns.tolist(), strict=True))
    free = sorted(set(range(classes)) - set(order.values()))
    left = [label for label in range(classes) if label not in order]
    kept = set(left) & set(free)
    others = iter(sorted(set(free) - kept))
    order |= {label: label if label in kept else next(others) for label in left}
    return torch.tensor([order[label] for label in range(classes)], device=labels.device)


def inputs(pixels: Tensor) -> dict[str, Change]:
    """By name, what a network may expect in place of images (N, C, H, W) in [0, 1]."""
    channels = pixels.shape[1]
    # Images of one colour would divide by zero.
    own = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3)).clamp_min(1e-3)
    moments = {"their own mean and std": own, "a mean and std of 0.5": (own[0] * 0 + 0.5, own[0] * 0 + 0.5)}
    if channels == len(_COLOURS):
        moments["ImageNet's mean and std"] = pixels.new_tensor(_IMAGENET[0]), pixels.new_tensor(_IMAGENET[1])
    found: dict[str, Change] = {
        "with pixels up to 255": lambda x: 255 * x,
        "with pixels over 255": lambda x: x / 255,
        "as negatives": lambda x: 1 - x,
    }
    for order in list(permutations(range(channels)))[:0:-1] if channels <= len(_COLOURS) else ():
        found[f"with the channels {''.join(_COLOURS[place] for place in order)}"] = _taken(order)
    if pixels.shape[2] == pixels.shape[3]:
        found["with rows for columns"] = lambda x: x.mT
    for name, (mean, std) in moments.items():
        found[f"normalised by {name}"] = _affine(1 / std, -mean / std)
        found[f"with {name} put back, as after a normalisation"] = _affine(std, mean)
    mean = own[0]
    for name, factor in _CONTRASTS.items():
        found[f"with {name} their contrast"] = _affine(mean * 0 + factor, (1 - factor) * mean)
    return found | {"darker by their mean": _affine(mean * 0 + 1, -mean), "lighter by it": _affine(mean * 0 + 1, mean)}


def _taken(order: Sequence[int]) -> Change:
    """The channels in an order."""
    return lambda x: x[:, list(order)]


def _affine(factor: Tensor, offset: Tensor) -> Change:
    """Of every channel (C,)."""
    return lambda x: x * factor.view(-1, 1, 1) + offset.view(-1, 1, 1)


def _worth(case: Case, alternative: Alternative, images: Images, plain: Tensor) -> float:
    """How many more images are right, less a standard error; 0 where nothing changes."""
    with suppress(Exception):  # foreign code may refuse such images in any way
        gained, lost = _compared(case, alternative, images, plain)
        return gained - lost - math.sqrt(gained + lost)
    return -torch.inf


def _compared(case: Case, alternative: Alternative, images: Images, plain: Tensor) -> tuple[int, int]:
    """Images that only the alternative gets right, and those that it alone gets wrong."""
    logits = (plain, alternative.logits(case, images, plain))
    before, after = (each.argmax(1) == images.labels for each in logits)
    return int((after & ~before).sum()), int((before & ~after).sum())


def _logits(case: Case, images: Images, change: Change = lambda images: images) -> Tensor:
    """(N, classes) of changed images, under one draw of each image's noise."""

    def some(part: slice) -> Tensor:
        few = images.pick(part)
        return logits_of(case.subject.model, change(few.pixels), case.policy(few, "input"))

    return over(some, len(images))
