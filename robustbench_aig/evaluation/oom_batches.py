"""What is measured of a batch of images, in batches that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from robustbench_aig.errors import lacks_memory
from robustbench_aig.evaluation.judge import Judgement, Subject
from robustbench_aig.records import Draws


@dataclass(frozen=True)
class Measured:
    """What came of B images. Tensors start with B and lie on the model's device.

    Attributes:
        images: (B, C, H, W) as judged; the clean image where the attack failed.
        judged: verdicts on them.
        failed: (B,) bool, images for which the attack, or the memory, failed.
        forwards, backwards: (B,) float64, passes the attack spent on each image.
        batch: (B,) int32, images that went through the network at once.
        reason: of the first failure; None where all went well.
    """

    images: Tensor
    judged: Judgement
    failed: Tensor
    forwards: Tensor
    backwards: Tensor
    batch: Tensor
    reason: str | None

    @classmethod
    def of(
        cls,
        images: Tensor,
        judged: Judgement,
        *,
        failed: Tensor | None = None,
        passes: tuple[float, float] = (0.0, 0.0),
        reason: str | None = None,
    ) -> Measured:
        """One batch: (forward, backward) passes per image; None failed unless said."""
        count, device = len(images), images.device
        forwards, backwards = (torch.full((count,), spent, dtype=torch.float64, device=device) for spent in passes)
        batch = torch.full((count,), count, dtype=torch.int32, device=device)
        none = torch.zeros(count, dtype=torch.bool, device=device)
        return cls(images, judged, none if failed is None else failed, forwards, backwards, batch, reason)

    @classmethod
    def lacking_memory(cls, images: Tensor, subject: Subject, draws: Draws, reason: str) -> Measured:
        """Clean images (B, C, H, W) that not even one at a time fit into memory: failed, with nothing known of them.

        Args:
            images: those.
            subject: that was to judge them.
            draws: scoring draws of a random policy.
            reason: the last message about the memory.
        """
        count, gates = len(images), len(subject.profile.blocks)
        nothing, zero = images.new_full((count,), torch.nan), images.new_zeros(count, dtype=torch.int64)
        judged = Judgement(
            finite=zero != 0,
            # A class that no image has: such an image is never right.
            predictions=zero - 1,
            margins=nothing,
            correct=zero,
            draws=subject.scoring(draws),
            choice_margins=nothing,
            choice_correct=zero,
            decisions=images.new_zeros(count, gates, dtype=torch.bool),
            probabilities=images.new_zeros(count, gates),
            macs=nothing.double(),
            mean_probabilities=images.new_zeros(count, gates),
            choice_probabilities=images.new_zeros(count, gates),
            probability=None if subject.scoring(draws) else nothing.double(),
        )
        return cls.of(images, judged, failed=zero == 0, reason=reason)


def pick(judged: Judgement, index: Tensor) -> Judgement:
    """The verdicts on some of the images, by position."""
    return _each(lambda value: value[index], judged)


def in_batches(
    count: int, work: Callable[[slice], Measured | str], give_up: Callable[[slice, str], Measured]
) -> Measured:
    """Measure all images at once; whenever that is too much for the memory, halve the batch and go on with the rest.

    The size that fits is not kept beyond this call: what is measured in a chunk must not depend on the chunks before
    it, which a resumed evaluation doesn't see.

    Args:
        count: of the images, at least one.
        work: measures the images at these positions; or returns what was said about the memory, or raises it.
        give_up: what is known of one image that does not fit alone, and the message about the memory.
    """
    size, start = count, 0
    parts: list[Measured] = []
    while start < count:
        part = slice(start, min(start + size, count))
        found = _attempt(work, part)
        if isinstance(found, str):
            torch.cuda.empty_cache()  # what is free but cut into pieces of the wrong size; does nothing without CUDA
            if part.stop - start > 1:
                size = (part.stop - start) // 2
                continue
            found = give_up(part, found)
        parts.append(found)
        start = part.stop
    return parts[0] if len(parts) == 1 else _together(parts)


def _attempt(work: Callable[[slice], Measured | str], part: slice) -> Measured | str:
    try:
        return work(part)
    except Exception as error:
        # The exception must not outlive this function: it holds the tensors that did not leave room for others.
        if not lacks_memory(error):
            raise
        return f"{type(error).__name__}: {error}"


def _together(parts: Sequence[Measured]) -> Measured:
    return Measured(
        images=torch.cat([part.images for part in parts]),
        judged=_each(lambda *values: torch.cat(values), *(part.judged for part in parts)),
        failed=torch.cat([part.failed for part in parts]),
        forwards=torch.cat([part.forwards for part in parts]),
        backwards=torch.cat([part.backwards for part in parts]),
        batch=torch.cat([part.batch for part in parts]),
        reason=next((part.reason for part in parts if part.reason is not None), None),
    )


def _each(make: Callable[..., Tensor], *judged: Judgement) -> Judgement:
    """Verdicts whose tensors are made of those of others, with as many draws."""
    names = [f.name for f in fields(Judgement) if isinstance(getattr(judged[0], f.name), Tensor)]
    made: dict[str, Any] = {name: make(*(getattr(one, name) for one in judged)) for name in names}
    return replace(judged[0], **made)
