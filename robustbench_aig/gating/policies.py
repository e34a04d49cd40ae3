"""Gate policies: how the decision of a gate is made from its logits.

Notation: a gate's two logits (skip, run) have the difference D = run - skip, its open probability is
p = sigmoid(D), and its decision z is 1 where the block runs. Gumbel-max on the two logits is the same as
z = 1[D + G > 0] with G logistic, which needs one random number instead of two (Jang et al., arXiv 1611.01144).

A new mode is one small class: subclass `Policy`, say its traits, and pass an instance to `gating`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from robustbench_aig.policy_traits import DETERMINISTIC, PLAIN, POLICIES, STATIC, STOCHASTIC, Traits
from robustbench_aig.randomness import Stream


class Policy(ABC):
    """How decisions are made in a forward pass.

    Attributes:
        name: in reports.
        traits: what it does.
    """

    name: str
    traits: Traits

    @property
    def random(self) -> bool:
        """Whether two passes over one image may decide differently."""
        return self.traits.draws

    @abstractmethod
    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """The decisions (B,) in [0, 1] of one gate.

        Args:
            logits: (B, 2), skip and run.
            gate: position of the gate in the network, from 0.
            draw: number of the forward pass inside the current `gating` context, from 0.
        """

    def drawn(self, stream: Stream) -> Policy:
        """The same policy with its noise from the streams (B,); itself where nothing is random."""
        return self

    @property
    def of_gates(self) -> Policy:
        """What gates decide by: itself, but for dice that are none of the gates'."""
        return self


class Independent(Policy):
    """Gates that are drawn, each by a probability that what it looks at says, and nothing of the others' draws."""

    @abstractmethod
    def log_odds(self, logits: Tensor, gate: int) -> Tensor:
        """(B,) logarithm of p / (1 - p), p being the probability that `decide` opens the gate; as differentiable as p.

        Args:
            logits: (B, 2), skip and run.
            gate: position of the gate in the network, from 0.
        """


class Argmax(Policy):
    """Open where running is likelier than not; the gradient is that of the softmax (straight-through)."""

    name = DETERMINISTIC
    traits = POLICIES[name]

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """1[D > 0], backward through sigmoid(D)."""
        difference = logits[:, 1] - logits[:, 0]
        return straight_through(difference)


class Sampled(Independent):
    """Gumbel-max: open with probability p; hard forward, backward through the softmax at a temperature.

    The test mode of the official code of Veit and Belongie (arXiv 1711.11503), whose temperature is 1.

    Args:
        stream: (B,) streams that fix every image's noise; None draws from torch's global generator.
        temperature: of the softmax in the backward pass.
    """

    name = STOCHASTIC
    traits = POLICIES[name]

    def __init__(self, stream: Stream | None = None, temperature: float = 1.0) -> None:
        self.stream = stream
        self.temperature = temperature

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """1[D + G > 0], backward through sigmoid((D + G) / temperature)."""
        difference = logits[:, 1] - logits[:, 0]
        noise = _global_logistic(difference) if self.stream is None else logistic_noise(self.stream, gate, draw)
        return straight_through((difference + noise.to(difference.dtype)) / self.temperature)

    def log_odds(self, logits: Tensor, gate: int) -> Tensor:
        """D."""
        return logits[:, 1] - logits[:, 0]

    def drawn(self, stream: Stream) -> Sampled:
        """The noise from the streams (B,)."""
        return Sampled(stream, self.temperature)


class Expected(Policy):
    """Every block runs, scaled by its open probability: the paper's starred mode."""

    name = "expected"
    traits = POLICIES[name]

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """Sigmoid(D), fully differentiable."""
        return (logits[:, 1] - logits[:, 0]).sigmoid()


class Open(Policy):
    """Every block runs at full strength."""

    name = "open"
    traits = POLICIES[name]

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """Ones, without a gradient to the gate."""
        return torch.ones_like(logits[:, 0])


class Frozen(Policy):
    """Decisions given from outside, such as those of the clean image.

    Args:
        decisions: (B, G), one row per image of the batch.
    """

    name = "frozen"
    traits = Traits(skips=True)

    def __init__(self, decisions: Tensor) -> None:
        self.decisions = decisions.detach()

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """The given column, without a gradient to the gate."""
        return self.decisions[:, gate].to(logits)


class Known(Policy):
    """As `Sampled`, but that an image's noise is the same in every pass, whoever asks: an attacker knows it.

    Args:
        stream: (B,) of the images, which may be any that know whose they are.
    """

    name = "known"
    traits = POLICIES[name]

    def __init__(self, stream: Stream | None = None) -> None:
        self._sampled = None if stream is None or stream.ids is None else Sampled(Stream.of(stream.ids, "known noise"))

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """1[D + G > 0] with the image's one G of the gate, backward through sigmoid(D + G)."""
        if self._sampled is None:
            raise RuntimeError("known noise belongs to images: give the policy their streams")
        return self._sampled.decide(logits, gate, 0)

    def drawn(self, stream: Stream) -> Known:
        """The noise of the images (B,) that these streams are of."""
        return Known(stream)


class Static(Policy):
    """One path for all images.

    Args:
        name: what reports call it: where the path comes from.
        opened: (G,) 1 where the block runs.
    """

    traits = POLICIES["static"]

    def __init__(self, name: str, opened: Tensor) -> None:
        self.name, self.opened = name, opened

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """The same for all (B,), without a gradient to the gate."""
        return self.opened[gate].to(logits).expand(len(logits))


class Random(Independent):
    """Open at fixed rates, independently of the input.

    Args:
        rates: (G,) probabilities.
        stream: as for `Sampled`.
    """

    name = "random"
    traits = POLICIES[name]

    def __init__(self, rates: Tensor, stream: Stream | None = None) -> None:
        self.rates = rates
        self.stream = stream

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """1[u < rate], without a gradient to the gate."""
        column = logits[:, 0].detach()
        if self.stream is None:
            uniform = torch.rand_like(column)
        else:
            uniform = self.stream.child(draw).child(gate).uniform(1)[:, 0]
        return (uniform < self.rates[gate].to(uniform)).to(column)

    def log_odds(self, logits: Tensor, gate: int) -> Tensor:
        """Those of the rate."""
        return self.rates[gate].to(logits).logit().expand(len(logits))

    def drawn(self, stream: Stream) -> Random:
        """The noise from the streams (B,)."""
        return Random(self.rates, stream)


class Restless(Policy):
    """A policy of a network that throws dice of its own beside its gates, so that no two passes are the same.

    Args:
        policy: how its gates decide, if it has any.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.name, self.traits = policy.name, replace(policy.traits, draws=True)

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """As the policy does."""
        return self.policy.decide(logits, gate, draw)

    def drawn(self, stream: Stream) -> Restless:
        """The gates' noise from the streams (B,); the network's own dice stay free."""
        return Restless(self.policy.drawn(stream))

    @property
    def of_gates(self) -> Policy:
        """The policy without the dice."""
        return self.policy


def straight_through(score: Tensor) -> Tensor:
    """1[score > 0] with the gradient of sigmoid(score); exactly 0 or 1, since soft - soft is exactly 0."""
    soft = score.sigmoid()
    return (score > 0).to(score) + (soft - soft.detach())


def logistic_noise(stream: Stream, gate: int, draw: int) -> Tensor:
    """(B,) the noise of one gate in one forward pass."""
    return stream.child(draw).child(gate).logistic()


def _global_logistic(like: Tensor) -> Tensor:
    uniform = torch.rand_like(like, dtype=torch.float32).clamp_min(2.0**-25)
    return uniform.log() - (-uniform).log1p()


_PLAIN_ONES: dict[str, type[Policy]] = {p.name: p for p in (Argmax, Sampled, Expected, Open, Known)}

DEPLOYABLE = (*_PLAIN_ONES, Random.name, *STATIC)
"""Policies under which a network can be deployed; the last three need rates, the others nothing from outside."""


def deployed_policy(name: str, stream: Stream | None = None, rates: Sequence[float] = ()) -> Policy:
    """A policy by name.

    Args:
        name: one of `DEPLOYABLE`, or "none" for a plain network, which asks no policy.
        stream: (B,) random streams of the images, for a random policy.
        rates: (G,) of the policy "random"; 0 or 1 for a static one.
    """
    if name == PLAIN:
        return Argmax()
    policy: Policy
    if name in STATIC:
        policy = Static(name, torch.tensor(rates))
    else:
        policy = Random(torch.tensor(rates)) if name == Random.name else _PLAIN_ONES[name]()
    return policy if stream is None else policy.drawn(stream)
