"""Attacks on the executed compute: more multiply-accumulates, or fewer, with the prediction kept or not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from robustbench_aig.attacks.attack_loop import Selection, climb
from robustbench_aig.attacks.compute_objectives import Anchored, ComputeObjective, ExpectedCompute
from robustbench_aig.attacks.gradient import FixedSteps, GradientAttack, random_start
from robustbench_aig.attacks.gradient_modes import ENOUGH
from robustbench_aig.attacks.problem import CLEAN, JUDGE, Pass, Problem, look
from robustbench_aig.attacks.protocol import View
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Threat


@dataclass(frozen=True)
class ComputeAttack(GradientAttack):
    """Projected steps on the gates; of the iterates that is returned which executes most, or least.

    What counts are the deployed network's decisions, over several draws where they are random. An image for which no
    iterate beats the clean one comes back as it was: all those of a network whose gates don't look at it, or
    that has none.

    Attributes:
        objective: what is raised; it says the direction.
        steps: number of gradient steps.
        step: size of one as a share of epsilon.
        restarts: how often to begin: at the image, then at random points of the ball.
        keep_prediction: only iterates count that have the clean image's class, in every draw.
        anchor: weight of the squared distance to the clean image's logits, where the prediction is to be kept.
    """

    objective: ComputeObjective = field(default_factory=ExpectedCompute)
    steps: int = 20
    step: float = 0.125
    restarts: int = 1
    keep_prediction: bool = False
    anchor: float = 0.0

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The iterate furthest in the objective's direction."""
        problem = Problem(model, x, y, threat, stream)
        found = problem.look(x.detach().requires_grad_(), model.policy.drawn(stream.child(CLEAN)))
        if not found.probabilities.requires_grad:
            return x
        clean = Pass(found.logits.detach(), found.probabilities.detach(), found.decisions.detach())
        problem = replace(problem, clean=clean)
        del found  # and the graph that it holds
        anchored = self.keep_prediction and self.anchor > 0

        def begin(own: Problem) -> FixedSteps:
            return FixedSteps(random_start(own.x, threat, own.stream) if own.restart else own.x, self.step)

        return climb(
            problem,
            begin,
            self.mode,
            Anchored(self.objective, self.anchor) if anchored else self.objective,
            _Furthest(problem, self),
            steps=self.steps,
            restarts=self.restarts,
            in_parts=False,
            watch=self.watch,
        )


class _Furthest(Selection):
    """For each image of a problem the iterate that went furthest; the image itself until one did.

    Args:
        problem: all of the images, clean.
        attack: says the direction, and whether the prediction must stay.
    """

    def __init__(self, problem: Problem, attack: ComputeAttack) -> None:
        self.images = problem.x
        self._problem = problem
        self._sign = 1 if attack.objective.direction == "up" else -1
        self._keep = attack.keep_prediction
        self._classes, self._reached = self._measure(problem.x)
        self._begun = False

    def start(self, restart: int) -> None:
        """With all images."""
        self._begun = False

    def see(self, problem: Problem, adv: Tensor, margins: Tensor) -> None:
        """Compare it, unless it is where a restart begins, which is the image itself or nothing but noise."""
        if self._begun:
            self.finish(problem, adv)
        self._begun = True

    def finish(self, problem: Problem, adv: Tensor) -> None:
        """Compare it."""
        classes, reached = self._measure(adv)
        further = reached > self._reached
        if self._keep:
            further &= (classes == self._classes).all(0)
        self.images = torch.where(further.view(-1, 1, 1, 1), adv, self.images)
        self._reached = torch.where(further, reached, self._reached)

    @torch.no_grad()
    def _measure(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Predicted classes (K, B) of the draws, and executed compute (B,), its sign turned for "down".

        By the network itself where the attack works on a copy in lower precision, and on the same noise every time.
        """
        view, stream = self._problem.view, self._problem.stream.child(JUDGE)
        classes, executed = [], []
        for draw in range(ENOUGH if view.policy.random else 1):
            policy = view.policy.drawn(stream.child(draw))
            if view.reference is None:
                found = look(view, view.model, x, policy, "sparse")
            else:
                view.forwards += len(x)
                found = look(view.reference, view.reference, x, policy, "sparse")
            ran = (found.decisions != 0).double()
            classes.append(found.logits.argmax(1))
            executed.append(ran.sum(1) if view.costs is None else ran @ view.costs.to(ran))
        return torch.stack(classes), self._sign * torch.stack(executed).mean(0)
