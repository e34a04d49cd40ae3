"""The trace: what the gates of a network did, and the one who asks the policy for them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from robustbench_aig.gating.policies import Policy

Execution = Literal["dense", "sparse"]


class Trace:
    """What the gates did in the latest forward pass; gates are numbered in the order in which they are asked.

    Args:
        policy: makes the decisions.
        execution: "dense" computes every block, "sparse" only the blocks of images whose gate is open.
    """

    def __init__(self, policy: Policy, execution: Execution) -> None:
        self.policy = policy
        self.sparse = execution == "sparse"
        self._draw = -1
        self._probabilities: list[Tensor] = []
        self._decisions: list[Tensor] = []

    def begin_pass(self) -> None:
        """Forget the pass before; the next one is a fresh draw of a random policy."""
        self._draw += 1
        self._probabilities.clear()
        self._decisions.clear()

    def ask(self, logits: Tensor) -> Tensor:
        """Decide (B,) for the next gate, given its logits (B, 2), and record it."""
        z = self.policy.decide(logits, len(self._decisions), max(self._draw, 0))
        self.record((logits[:, 1] - logits[:, 0]).sigmoid(), z)
        return z

    def record(self, probability: Tensor, decision: Tensor) -> None:
        """Note one gate's open probability and decision, both (B,)."""
        self._probabilities.append(probability)
        self._decisions.append(decision)

    @property
    def gates(self) -> int:
        """How many gates were asked in the latest pass: G."""
        return len(self._decisions)

    @property
    def probabilities(self) -> Tensor:
        """(B, G) open probabilities, attached to the graph."""
        return torch.stack(self._probabilities, 1)

    @property
    def decisions(self) -> Tensor:
        """(B, G) decisions, attached to the graph."""
        return torch.stack(self._decisions, 1)
