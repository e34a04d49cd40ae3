"""What networks return, and the logits in it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from robustbench_aig.errors import InputError

_BELOW = 1e3
"""How far below the lowest logit a class lies that a network rules out: its probability in float32 is exactly 0."""
_SHOWN = 4


def logits_in(answer: object) -> Tensor:
    """The logits in what a network returned.

    A tensor; the first of a tuple or list; what stands under `logits` in a mapping, a dataclass or a named tuple, as
    the outputs of many libraries do.

    Raises:
        InputError: something else; the text completes "NETWORK ".
    """
    match answer:
        case Tensor():
            return _checked(answer)
        case Mapping() if "logits" in answer:
            return logits_in(answer["logits"])
        case Mapping():
            keys = ", ".join(f"'{key}'" for key in list(answer)[:_SHOWN]) or "nothing"
            raise InputError(f"returns a {type(answer).__name__} of {keys}: it must hold the logits as 'logits'")
        case _ if hasattr(answer, "logits"):
            return logits_in(answer.logits)
        case tuple() | list() if answer:
            return logits_in(answer[0])
        case _:
            raise InputError(
                f"returns a {type(answer).__name__}: it must return logits (B, classes), a tuple of them first, or "
                "something that holds them as 'logits'"
            )


def _checked(logits: Tensor) -> Tensor:
    if logits.is_floating_point() and logits.layout == torch.strided and not logits.is_quantized:
        return logits
    raise InputError(f"returns {logits.dtype} of layout {logits.layout}: logits must be plain real numbers")


def ruled_out(logits: Tensor) -> Tensor:
    """Logits (B, classes) with finite numbers in place of -inf, by which a network rules classes out.

    They lie below all others of their image, with a probability of exactly 0, so that margins are numbers. NaN,
    +inf, and an image of which no logit is finite stay as they are.
    """
    if logits.dim() != 2:
        return logits
    masked = logits.isneginf()
    lowest = logits.detach().masked_fill(masked, torch.inf).amin(1, keepdim=True)
    return torch.where(masked & lowest.isfinite(), lowest - _BELOW, logits)
