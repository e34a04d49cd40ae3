"""Attacks on the executed compute: more multiply-accumulates, or fewer, with the prediction kept or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from robustbench_aig.attacks.attack_interface import OwnAttack, View
from robustbench_aig.attacks.attack_loop import Selection, climb
from robustbench_aig.attacks.attack_problem import CLEAN, JUDGE, Pass, Problem, look
from robustbench_aig.attacks.compute_objectives import Anchored, Held, Projected, build_compute_objective
from robustbench_aig.attacks.fgsm_and_pgd import FixedSteps, random_start
from robustbench_aig.attacks.gradient_modes import ENOUGH, Mode, build_mode
from robustbench_aig.attacks.objectives import Objective
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes.compute_recipes import ComputeRecipe
from robustbench_aig.threat import Threat


@dataclass(frozen=True)
class ComputeAttack(OwnAttack):
    """Projected steps on the gates; of the iterates that is returned which executes most, or least.

    What counts are the deployed network's decisions, over several draws where they are random. An image for which no
    iterate beats the clean one comes back as it was: all those of a network whose gates don't look at it, or
    that has none. Where the prediction is to be kept, only iterates count that have the clean image's class in every
    draw.
    """

    recipe: ComputeRecipe

    @cached_property
    def mode(self) -> Mode:
        """How the gradient gets past the gates."""
        mode = build_mode(self.recipe.gates)
        return Projected(mode, Held(self.recipe.direction)) if self.recipe.objective.name == "gradauto" else mode

    @cached_property
    def objective(self) -> Objective:
        """What is raised."""
        objective = build_compute_objective(self.recipe)
        return Anchored(objective, self.recipe.anchor) if self.recipe.anchor > 0 else objective

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """The iterate furthest in the objective's direction."""
        problem = Problem(model, x, y, threat, stream)
        found = problem.look(x.detach().requires_grad_(), model.policy.drawn(stream.child(CLEAN)))
        if not found.probabilities.requires_grad:
            return x
        clean = Pass(found.logits.detach(), found.probabilities.detach(), found.decisions.detach())
        problem = replace(problem, clean=clean)
        del found  # and the graph that it holds
        recipe = self.recipe

        def begin(own: Problem) -> FixedSteps:
            return FixedSteps(random_start(own.x, threat, own.stream) if own.restart else own.x, recipe.step)

        return climb(
            problem,
            begin,
            self.mode,
            self.objective,
            _Furthest(problem, recipe),
            steps=recipe.steps,
            restarts=recipe.restarts,
            in_parts=False,
        )


class _Furthest(Selection):
    """For each image of a problem the iterate that went furthest; the image itself until one did.

    Args:
        problem: all of the images, clean.
        recipe: says the direction, and whether the prediction must stay.
    """

    def __init__(self, problem: Problem, recipe: ComputeRecipe) -> None:
        self.images = problem.x
        self._problem = problem
        self._sign = 1 if recipe.direction == "up" else -1
        self._keep = recipe.keep_prediction
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
