"""The rule by which the worst of several attacks is found for each image, and what it scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from robustbench_aig.evaluation import Judgement
from robustbench_aig.statistics import worst_of


class Worst(NamedTuple):
    """What a union says of N images.

    Attributes:
        chosen: (N,) position of the attack that is worst for each.
        right: (N,) share of draws that it's right in under that attack.
    """

    chosen: Tensor
    right: Tensor


Union = Callable[[Sequence[Judgement]], Worst]
"""From the verdicts on A attacked versions of the same images."""


def worst_case(judged: Sequence[Judgement]) -> Worst:
    """The union of a report: chosen on one half of the draws, scored on the other."""
    choice, margins, right = (
        torch.stack([getattr(each, name).double() for each in judged])
        for name in ("choice_correct", "choice_margins", "correct")
    )
    chosen = torch.from_numpy(worst_of(choice.numpy(force=True), margins.numpy(force=True))).to(choice.device)
    return Worst(chosen, right.gather(0, chosen[None])[0] / judged[0].draws)
