"""The lesion study: accuracy without each residual block in turn (Veit et al., arXiv 1605.06431, section 4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from robustbench_aig.inspection_record import Lesion
from robustbench_aig.models.branches import Branch
from robustbench_aig.records import Accuracy
from robustbench_aig.statistics import mcnemar, wilson

Bools = NDArray[np.bool_]


@contextmanager
def removed(branch: Branch) -> Iterator[None]:
    """Let a block be its shortcut alone inside the context, under every gate and execution; the weights stay."""
    hook = branch.output.register_forward_hook(lambda _module, _inputs, output: torch.zeros_like(output))
    try:
        yield
    finally:
        hook.remove()


def lesion_of(branch: Branch, intact: Bools, without: Bools) -> Lesion:
    """What a block is worth: which images (N,) the network gets right with and without its residual branch."""
    lost, gained = int((intact & ~without).sum()), int((without & ~intact).sum())
    return Lesion(
        block=branch.name,
        transition=branch.transition,
        accuracy=accuracy_of(without),
        difference=(gained - lost) / len(intact),
        lost=lost,
        gained=gained,
        p_value=mcnemar(lost, gained),
    )


def accuracy_of(right: Bools) -> Accuracy:
    """The share of right answers (N,), one for each of N >= 1 images, with Wilson's interval."""
    count, n = int(right.sum()), len(right)
    low, high = wilson(count, n)
    return Accuracy(value=count / n, low=low, high=high, n=n, draws=1, count=count, interval="wilson")
