"""The trace: what the gates of a network did, and the one who asks the policy for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from robustbench_aig.errors import InputError
from robustbench_aig.gating.policies import Independent, Policy
from robustbench_aig.gating.shared import Draws, Patterns
from robustbench_aig.policy_traits import NOT_OURS

Execution = Literal["dense", "sparse"]

_EDGE = 1e-6
"""Where only a probability is known, one that is nearer to 0 or 1 has the logit of this one."""


class Trace:
    """What the gates did in the latest forward pass; gates are numbered in the order in which they are asked.

    Args:
        policy: makes the decisions.
        execution: "dense" computes every block, "sparse" only the blocks of images whose gate is open.
        draws: how many draws of the policy a pass makes at once; None for one, as of any network.
        patterns: whether a pass goes through all that gates can decide under a policy that draws them independently.
    """

    def __init__(
        self, policy: Policy, execution: Execution, draws: int | None = None, *, patterns: bool = False
    ) -> None:
        self.policy = policy
        self.sparse = execution == "sparse"
        self.draws = None if draws is None else Draws(draws)
        self.patterns = Patterns() if patterns else None
        self.twice = False
        """Whether an image goes through the network twice at once: gates decide once for it."""
        self._draw = -1
        self._probabilities: list[Callable[[], Tensor]] = []
        self._decisions: list[Tensor] = []
        self._logits: list[Tensor | None] = []

    def begin_pass(self) -> None:
        """Forget the pass before; the next one is a fresh draw of a random policy."""
        self._draw += 1
        if self.draws is not None:
            self.draws.begin()
        if self.patterns is not None:
            self.patterns.begin()
        self._probabilities.clear()
        self._decisions.clear()
        self._logits.clear()

    def ask(self, logits: Tensor) -> Tensor:
        """Decide (B,) for the next gate, given its logits (B, 2), and record it."""
        if self.patterns is not None:
            raise InputError(NOT_OURS)
        rows = len(logits)
        if self.twice:
            logits = logits[:1]
        z = self.policy.decide(logits, len(self._decisions), max(self._draw, 0))
        self._note(partial(_open_probability, logits), z, logits)
        return z.expand(rows)

    def ask_draws(self, logits: Tensor, draws: Draws) -> Tensor:
        """Decide (K, B) for the next gate in every draw, given its logits (S, 2) in each row, and record it."""
        of_draws = draws.each(logits)
        gate = len(self._decisions)
        z = torch.stack([self.policy.decide(each, gate, draw) for draw, each in enumerate(of_draws)])
        self._note(partial(_open_probability, of_draws), z)
        return z

    def ask_patterns(self, logits: Tensor, patterns: Patterns) -> None:
        """Part the rows by the next gate, given its logits (S, 2) in each, and record it."""
        assert isinstance(self.policy, Independent)
        z = patterns.part(self.policy.log_odds(logits, len(self._decisions)))
        self._note(partial(_open_probability, logits), z)

    def record(self, probability: Tensor, decision: Tensor) -> None:
        """Note one gate's open probability and decision, both (B,); of several draws (K, B), of patterns (S,)."""
        if self.twice:
            probability, decision = probability[:1], decision[:1]
        if self.patterns is not None:
            self.patterns.rows_run += len(decision)
        self._note(lambda: probability, decision)

    def _note(self, probability: Callable[[], Tensor], decision: Tensor, logits: Tensor | None = None) -> None:
        # Computed when it's asked for: most passes are about logits and decisions.
        self._probabilities.append(probability)
        self._decisions.append(decision)
        self._logits.append(logits)

    @property
    def gates(self) -> int:
        """How many gates were asked in the latest pass: G."""
        return len(self._decisions)

    @property
    def probabilities(self) -> Tensor:
        """(B, G) open probabilities, attached to the graph; (K, B, G) of several draws or patterns."""
        return self._stacked([probability() for probability in self._probabilities])

    @property
    def differences(self) -> Tensor:
        """(B, G) logits of being open, attached to the graph: they have a slope where probabilities round to 0 or 1."""
        of_gates = zip(self._logits, self._probabilities, strict=True)
        each = [p().logit(_EDGE) if logits is None else _difference(logits) for logits, p in of_gates]
        return torch.stack(each, -1)

    @property
    def decisions(self) -> Tensor:
        """(B, G) decisions, attached to the graph; (K, B, G) of several draws or patterns."""
        return self._stacked(self._decisions)

    def _stacked(self, of_gates: list[Tensor]) -> Tensor:
        return torch.stack(of_gates if self.patterns is None else [self.patterns.each(rows) for rows in of_gates], -1)


def _open_probability(logits: Tensor) -> Tensor:
    """(…,) for logits (…, 2)."""
    return _difference(logits).sigmoid()


def _difference(logits: Tensor) -> Tensor:
    """(…,) for logits (…, 2)."""
    return logits[..., 1] - logits[..., 0]
