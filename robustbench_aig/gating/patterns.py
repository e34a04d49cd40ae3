"""A network under all that its gates can decide, each with its probability: what is exact of a random network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustbench_aig.errors import InputError
from robustbench_aig.gating.context import gating
from robustbench_aig.gating.gate import Gate, OpenGate
from robustbench_aig.gating.policies import Independent, Policy
from robustbench_aig.gating.soft import SoftGate
from robustbench_aig.policy_traits import MOST_GATES, NOT_DRAWN, NOT_OURS, TOO_MANY

_ROWS, _ROWS_CPU = 16384, 1024
"""Rows that a pass may end with; a CPU's caches hold fewer."""


@dataclass(frozen=True)
class Every:
    """What a network makes of B images under each of K patterns of its G gates, attached to the graph.

    Attributes:
        logits: (K, B, classes).
        log_probability: (K, B) of the pattern, for this image.
        decisions: (K, B, G); the gates that are forced open among them.
        probabilities: (K, B, G) open probabilities along the pattern's path.
        passes: whole passes that the work is worth, for each image.
    """

    logits: Tensor
    log_probability: Tensor
    decisions: Tensor
    probabilities: Tensor
    passes: float


def patterns(model: nn.Module) -> int:
    """K: how many there are; InputError where a pass can't go through them."""
    gates = [module for module in model.modules() if isinstance(module, Gate)]
    if any(gate.outside for gate in gates):
        raise InputError(NOT_OURS)
    deciding = sum(not isinstance(gate, OpenGate | SoftGate) for gate in gates)
    if deciding > MOST_GATES:
        raise InputError(TOO_MANY)
    return int(2**deciding)


def at_once(model: nn.Module, device: torch.device) -> int:
    """Images whose patterns go through a network at once; InputError as `patterns`."""
    return max(1, (_ROWS_CPU if device.type == "cpu" else _ROWS) // patterns(model))


def every_pattern(model: nn.Module, gated: nn.Module, x: Tensor, policy: Policy) -> Every:
    """Images (B, C, H, W) through `model`, the gates of `gated` (itself, or what it calls) deciding all they can.

    Args:
        model: images to logits.
        gated: in eval mode, whose gates these are.
        x: not too many, see `at_once`.
        policy: by which the gates draw.

    Raises:
        InputError: it draws nothing; or there are too many gates, or they decide amid foreign code.
    """
    if not isinstance(policy, Independent):
        raise InputError(NOT_DRAWN)
    patterns(gated)
    with gating(gated, policy, patterns=True) as trace:
        rows = model(x)
    assert trace.patterns is not None
    return Every(
        logits=trace.patterns.each(rows),
        log_probability=trace.patterns.log_probability.to(rows.device),
        decisions=trace.decisions,
        probabilities=trace.probabilities,
        passes=trace.patterns.rows_run / (trace.gates * len(x)),
    )
