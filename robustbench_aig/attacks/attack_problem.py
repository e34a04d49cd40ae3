"""What a gradient attack works on: images that can be dropped one by one, and forward passes over them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from robustbench_aig.attacks.attack_interface import View
from robustbench_aig.gating import Execution, Policy, gating
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Threat

START, CLEAN, STEPS, JUDGE = 0, 1, 2, 3
"""Children of an image's stream: the random start, the look at the clean image, gradient steps, choosing an iterate."""


@dataclass(frozen=True)
class Pass:
    """One forward pass.

    Attributes:
        logits: (B, classes).
        probabilities: (B, G) open probabilities; G is 0 for a network without gates.
        decisions: (B, G).
        differences: (B, G) logits of the probabilities; None where they weren't asked for.
    """

    logits: Tensor
    probabilities: Tensor
    decisions: Tensor
    differences: Tensor | None = None

    def __getitem__(self, index: Tensor | slice) -> Pass:
        """Some of the images."""
        differences = None if self.differences is None else self.differences[index]
        return Pass(self.logits[index], self.probabilities[index], self.decisions[index], differences)


def look(model: nn.Module, gated: nn.Module, x: Tensor, policy: Policy, execution: Execution) -> Pass:
    """Images (B, C, H, W) through `model`, the gates of `gated` (itself, or what it calls) under a policy."""
    with gating(gated, policy, execution=execution) as trace:
        logits = model(x)
    if not trace.gates:
        none = logits.new_zeros(len(x), 0)
        return Pass(logits, none, none)
    return Pass(logits, trace.probabilities, trace.decisions, trace.differences)


@dataclass(frozen=True)
class Problem:
    """Images under attack, and all that belongs to them; an index takes some of them.

    Attributes:
        view: the network.
        x: (B, C, H, W) in [0, 1].
        y: (B,) labels.
        threat: the ball.
        stream: (B,) random streams of this restart.
        restart: number of the restart, from 0.
        clean: the pass over the clean images, for an objective or a gradient that asks for it.
    """

    view: View
    x: Tensor
    y: Tensor
    threat: Threat
    stream: Stream
    restart: int = 0
    clean: Pass | None = None

    def __getitem__(self, index: Tensor | slice) -> Problem:
        """The problem of some of the images."""
        clean = None if self.clean is None else self.clean[index]
        return replace(self, x=self.x[index], y=self.y[index], stream=self.stream[index], clean=clean)

    def look(self, x: Tensor, policy: Policy, execution: Execution = "dense") -> Pass:
        """One pass over images (B, C, H, W) in place of `x`."""
        return look(self.view, self.view.model, x, policy, execution)

    @torch.no_grad()
    def with_clean(self, draws: int = 1) -> Problem:
        """The same, with a pass over the clean images under one draw of the deployed policy.

        Args:
            draws: that its open probabilities are the mean over, where the policy is random and these are several.
        """
        clean = self.look(self.x, self.view.policy.drawn(self.stream.child(CLEAN)))
        if draws > 1 and self.view.policy.random:
            mean = torch.stack([each.probabilities for each in self.deployed(self.x, draws)]).mean(0)
            clean = replace(clean, probabilities=mean)
        return replace(self, clean=clean)

    @torch.no_grad()
    def deployed(self, x: Tensor, draws: int) -> list[Pass]:
        """Passes of the deployed network over images in place of `x`, one where nothing is random.

        Their noise is kept for judging and the same for all images that are judged, so that draws of two differ in
        what the images differ in.
        """
        policy, stream = self.view.policy, self.stream.child(JUDGE)
        count = draws if policy.random else 1
        return [self.look(x, policy.drawn(stream.child(draw)), "sparse") for draw in range(count)]

    def again(self, restart: int) -> Problem:
        """The same with the randomness of another restart."""
        return replace(self, restart=restart, stream=self.stream.child(restart)) if restart else self


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """(…, B) logit of the label minus the highest other, for logits (…, B, classes) and labels (B,).

    A tie is a mistake, and a NaN compares as one.
    """
    label = y.expand(logits.shape[:-1]).unsqueeze(-1)
    return logits.gather(-1, label).squeeze(-1) - logits.scatter(-1, label, -torch.inf).amax(-1)


def deployed_margin(problem: Problem, adv: Tensor, draws: int) -> Tensor:
    """(B,) margin of the deployed network at images in place of a problem's; over so many draws where it is random."""
    return torch.stack([margin(each.logits, problem.y) for each in problem.deployed(adv, draws)]).mean(0)
