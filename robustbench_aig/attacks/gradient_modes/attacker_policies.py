"""Gate policies that only an attacker uses: they decide or pass gradients in another way than the deployed network."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from robustbench_aig.gating import Policy, logistic_noise, straight_through
from robustbench_aig.policy_traits import Traits
from robustbench_aig.randomness import Stream


class Detached(Policy):
    """The decisions of another policy as constants.

    Args:
        policy: whose.
    """

    name = "detached"

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.traits = replace(policy.traits, smooth=False)

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """The other's, without a gradient to the gate."""
        return self._policy.decide(logits, gate, draw).detach()


class Steady(Policy):
    """Another policy, its noise that of one draw whatever the number of passes.

    Args:
        policy: with noise from streams.
    """

    name = "frozen noise"

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.traits = replace(policy.traits, draws=False)

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """The other's at its first draw."""
        return self._policy.decide(logits, gate, 0)


class SmoothBackward(Policy):
    """The decisions of another policy with the gradient of sigmoid(D / temperature).

    Args:
        policy: whose decisions.
        temperature: of the sigmoid.
    """

    name = "bpda"

    def __init__(self, policy: Policy, temperature: float) -> None:
        self._policy, self._temperature = policy, temperature
        self.traits = replace(policy.traits, smooth=False)

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """The other's forward."""
        soft = ((logits[:, 1] - logits[:, 0]) / self._temperature).sigmoid()
        return self._policy.decide(logits, gate, draw).detach() + (soft - soft.detach())


class Steep(Policy):
    """sigmoid(slope · score), the score being D or, where gates are sampled, D + noise.

    Args:
        slope: of the sigmoid.
        hard: 1[score > 0] forward; only the gradient is the sigmoid's.
        stream: (B,) of the noise; None for none.
    """

    name = "leaded"

    def __init__(self, slope: float, *, hard: bool, stream: Stream | None) -> None:
        self._slope, self._hard, self._stream = slope, hard, stream
        self.traits = Traits(looks=True, draws=stream is not None, skips=hard, smooth=not hard)

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """Soft or hard."""
        score = logits[:, 1] - logits[:, 0]
        if self._stream is not None:
            score = score + logistic_noise(self._stream, gate, draw).to(score.dtype)
        return straight_through(self._slope * score) if self._hard else (self._slope * score).sigmoid()


class Jittered(Policy):
    """Another policy that sees the logits through Gaussian noise.

    Args:
        policy: decides.
        sigma: standard deviation of the noise on D.
        stream: (B,) of the noise.
    """

    name = "smoothed"

    def __init__(self, policy: Policy, sigma: float, stream: Stream) -> None:
        self._policy, self._sigma, self._stream = policy, sigma, stream
        self.traits = replace(policy.traits, draws=True)

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """The other's decision on the noisy logits."""
        uniform = self._stream.child(draw).child(gate).uniform(1)[:, 0]
        noise = self._sigma * 2**0.5 * (2 * uniform - 1).erfinv().to(logits.dtype)
        return self._policy.decide(torch.stack([logits[:, 0], logits[:, 1] + noise], 1), gate, draw)
