"""The trial of an adapter: what `adapt` was told is held against what the network does, on some of the images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustbench_aig.errors import InputError, first_line
from robustbench_aig.gating import Argmax
from robustbench_aig.models.adapt import ForeignGate
from robustbench_aig.models.adapter_trial.named_blocks import try_blocks, try_the_rest
from robustbench_aig.models.adapter_trial.passes import Passes
from robustbench_aig.models.adapter_trial.read_trial import try_decisions, try_draws, try_gradients, try_reading
from robustbench_aig.models.adapter_trial.write_trial import softens, try_writing
from robustbench_aig.models.foreign.wrapper import ForeignNetwork
from robustbench_aig.network_modes import frozen_in_eval_mode


@dataclass(frozen=True)
class Tried:
    """What the trial of an adapter found.

    Attributes:
        decisions: G, of a pass.
        soft: whether decisions between 0 and 1 have effects of their own.
        still: decisions, from 0, that were read alike for all images, without a gradient by them.
    """

    decisions: int
    soft: bool
    still: tuple[int, ...] = ()


def try_adapter(model: nn.Module, images: Tensor) -> Tried | None:
    """Hold an adapter to its word; None for a network without one.

    Equal means bit for bit, where the device computes the same twice:

    - all gates open and all closed differ, and so does each that skips something (`write`);
    - with a gate closed, noise in place of its blocks' output changes neither logits nor other gates; no gate lies
      inside a block (`blocks`);
    - under argmax the network returns its own logits, here, on the way to the other side of each gate, and close to its
      threshold (`read`);
    - what is read is finite, of each image alone, in float32, and has a gradient;
    - whatever else multiplies is needed for all images alike, and for no decision alone.

    Args:
        model: images to logits, in any mode, which is left as it was.
        images: (N, C, H, W), on its device; a dozen that differ.

    Raises:
        InputError: the adapter is wrong; the sentence says in what.
    """
    adapters = [module for module in model.modules() if isinstance(module, ForeignGate)]
    if not adapters:
        return None
    passes = Passes(model, adapters[0], images)
    try:
        with frozen_in_eval_mode(model):
            return _try(passes)
    except (InputError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"the adapter of {passes.name} fails when it is tried: {said}") from error


def _try(passes: Passes) -> Tried:
    x = passes.images
    look = passes.under(Argmax(), x)
    again = passes.under(Argmax(), x)
    eps = torch.finfo(look.differences.dtype).eps
    passes.rounding, passes.near = max(passes.rounding, 8 * eps), max(passes.near, 16 * eps)
    passes.slack = 10 * (look.logits - again.logits).abs().nan_to_num().max().item()
    gates = look.differences.shape[1]
    if passes.groups is not None and len(passes.groups) != gates:
        raise InputError(
            f"the gates of {passes.name} make {gates} decisions in one pass, but {len(passes.groups)} blocks are "
            "named: give adapt() an entry of `blocks` for each decision"
        )
    try_reading(passes, look)
    try_writing(passes, gates)
    if passes.groups is not None:
        try_blocks(passes, passes.groups)
    if _draws(passes):
        try_draws(passes)
    else:
        try_decisions(passes, look)
    # Where no gradient reaches the images at all, that is known from the entry.
    still = () if isinstance(passes.model, ForeignNetwork) and passes.model.unattackable else try_gradients(passes)
    if passes.groups is not None:
        try_the_rest(passes, passes.groups, _varied(x))
    return Tried(gates, softens(passes, gates), still)


def _draws(passes: Passes) -> bool:
    """Whether the network's own gates draw: what they decide is then no function of what is read."""
    one, other = (passes.own(passes.images, seed) for seed in (0, 1))
    if passes.same(one, other).all():
        return False
    ours = [passes.under(Argmax(), passes.images, seed=seed).logits for seed in (0, 1)]
    return bool(passes.same(*ours).all())


def _varied(x: Tensor) -> Tensor:
    """(4·N, C, H, W): the images, their negatives, mixtures of two, and with noise of half the range."""
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    return torch.cat([x, 1 - x, (x + x.roll(1, 0)) / 2, (x + noise) / 2])
