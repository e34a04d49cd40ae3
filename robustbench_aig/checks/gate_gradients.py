"""Does the attack's gradient know of the gates, and is it more signal than noise?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robustbench_aig.attacks.attack_interface import View
from robustbench_aig.attacks.attack_problem import Problem
from robustbench_aig.attacks.fgsm_and_pgd import GradientAttack
from robustbench_aig.attacks.gradient_modes import Mode, build_mode
from robustbench_aig.attacks.gradient_modes.attacker_policies import Detached
from robustbench_aig.attacks.objectives import Objective, build_objective
from robustbench_aig.checks.case import Case, over
from robustbench_aig.checks.check_class import OnNoise, OnRight
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.single_gates import masked_gates
from robustbench_aig.checks.thresholds import Limits, percent
from robustbench_aig.checks.whole_passes import cosine, gradient, margin_loss
from robustbench_aig.evaluation import Images
from robustbench_aig.gating import BlindGate, Gate, OpenGate
from robustbench_aig.network_modes import frozen_in_eval_mode
from robustbench_aig.policy_traits import traits
from robustbench_aig.recipes import EvolutionMode, GateMode, PgdRecipe
from robustbench_aig.recipes import Objective as ObjectiveRecipe


@dataclass(frozen=True)
class GatePath(OnRight):
    """How much of the margin's gradient came through the gates' decisions.

    The gates are also asked one by one: where a single one is cut off, the others hide it.

    Attributes:
        least: length of that part, over the length of the whole, below which an image's gradient knows of no gates.
    """

    images: int = 48
    least: float = 1e-3

    name: ClassVar[str] = "gate-path"
    title: ClassVar[str] = "The gradient passes the gates"
    asks: ClassVar[str] = "Does the attack's gradient include the gates' decisions?"
    advice: ClassVar[str] = (
        "Use a straight-through gradient, or attack with leaded, soft or score-function gradients: an attack that "
        "treats the path as constant cannot change it."
    )
    limits: ClassVar[Limits] = Limits(0.05, 0.5)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images whose gradient is the same with the decisions as constants, or knows not of some gate."""
        if not looking_gates(case):
            return self.unfit("no gate looks at the image")
        share, agreement = over(lambda part: _both(case, images.pick(part)), len(images)).unbind(1)
        masked = over(lambda part: masked_gates(case, images.pick(part)), len(images))
        count = int(((share < self.least) | masked.any(1)).sum())
        numbers = {"median share": share.median().item(), "median cosine": agreement.median().item()}
        evidence = (
            f"in the median the norm of the gradient through the gates is {percent(numbers['median share'])} of the "
            f"whole gradient's, and the cosine of the gradients with and without it is {numbers['median cosine']:.2f}"
        )
        cut = [str(gate) for gate, images_of in enumerate(masked.sum(0).tolist(), 1) if images_of]
        said = f"; no gradient reaches the logits of gate {', '.join(cut)} of {masked.shape[1]}" if cut else ""
        return self.found(count, len(images), evidence + said, {**numbers, "gates without a gradient": len(cut)})

    def cost(self, case: Case) -> Cost:
        """Three gradients and a pass, and for every gate the way back from it."""
        return Cost(self.images, (3 + len(case.subject.profile.blocks) / 3) * self.images)


def _both(case: Case, images: Images) -> Tensor:
    """(N, 2) length of the gradient's part that came through the decisions, over the whole, and the rest's cosine."""
    policy, model = case.policy(images, "gradient"), case.subject.model
    whole, rest = (
        gradient(model, images.pixels, images.labels, way, margin_loss) for way in (policy, Detached(policy))
    )
    share = (whole - rest).flatten(1).norm(dim=1) / whole.flatten(1).norm(dim=1)
    return torch.stack([share.nan_to_num(0.0).double(), cosine(whole, rest)], 1)


@dataclass(frozen=True)
class Signal(OnNoise):
    """Cosine of two independent estimates of the attack's gradient at an image.

    With n draws, an estimate has the cosine c to the mean gradient where two of them have about c² to each other.

    Attributes:
        draws: numbers of them that are tried beside the attack's own.
        least: cosine below which noise is stronger than signal.
        good: cosine above which more draws bring little.
    """

    images: int = 48
    draws: tuple[int, ...] = (1, 2, 5, 10, 20)
    least: float = 0.5
    good: float = 0.9

    name: ClassVar[str] = "eot-signal"
    title: ClassVar[str] = "Gradients over draws agree"
    asks: ClassVar[str] = "Do two independent estimates of the attack's gradient have the same direction?"
    advice: ClassVar[str] = "Attack with gradients over more draws (gates.draws), or through soft gates."
    limits: ClassVar[Limits] = Limits(0.1, 0.5)

    def look(self, case: Case, images: Images) -> Finding:
        """Count the images on which the estimates that the attack takes disagree."""
        own = draws_of(case.attack)
        found = {count: self._cosines(case, images, count) for count in sorted({own, *self.draws})}
        medians = {count: cosines.median().item() for count, cosines in found.items()}
        enough = next((count for count, median in medians.items() if median >= self.good), None)
        count = int((found[own] < self.least).sum())
        said = ", ".join(f"{median:.2f} with {draws}" for draws, median in medians.items())
        evidence = f"median cosine of two estimates: {said} draws; the attack uses {own}"
        return self.found(count, len(images), evidence, _numbers(medians, enough))

    def _cosines(self, case: Case, images: Images, draws: int) -> Tensor:
        gates, chosen = parts_of(case)
        has_draws = hasattr(gates, "draws") and not isinstance(gates, EvolutionMode)
        several = build_mode(gates.changed(draws=draws) if has_draws else gates)
        objective = build_objective(chosen)

        def cosines(part: slice) -> Tensor:
            some = images.pick(part)
            first, second = (
                estimated(case, some, several, objective, f"estimate {number}").flatten(1) for number in (0, 1)
            )
            return cosine(first, second)

        return over(cosines, len(images))

    def cost(self, case: Case) -> Cost:
        """Two estimates for each number of draws."""
        return Cost(gradients=2 * sum({draws_of(case.attack), *self.draws}) * self.images)


def _numbers(medians: Mapping[int, float], enough: int | None) -> dict[str, float]:
    numbers = {f"median cosine, {draws} draws": median for draws, median in medians.items()}
    return numbers if enough is None else {**numbers, "draws enough": enough}


def looking_gates(case: Case) -> bool:
    """Whether a gate's logits may depend on the image, and the policy decides by them."""
    if not traits(case.subject.policy).looks:
        return False
    gates = [module for module in case.subject.model.modules() if isinstance(module, Gate)]
    return any(not isinstance(gate, BlindGate | OpenGate) for gate in gates)


def draws_of(attack: object) -> int:
    """Over how many draws an attack takes its gradient at every step."""
    return attack.mode.draws if isinstance(attack, GradientAttack) else 1


def parts_of(case: Case) -> tuple[GateMode, ObjectiveRecipe]:
    """Gradient mode and objective of the attack under examination; the stock ones where it is none of ours."""
    recipe = case.attack.recipe if isinstance(case.attack, GradientAttack) else PgdRecipe()
    return recipe.gates, recipe.objective


def estimated(case: Case, images: Images, mode: Mode, objective: Objective, purpose: str) -> Tensor:
    """(N, C, H, W) what a mode takes for the gradient at images, in one batch, on the copy that attacks work on."""
    stream = case.stream(images, purpose)
    view = View(case.subject.copy or case.subject.model, case.subject.deployed(stream))
    problem = Problem(view, images.pixels, images.labels, case.threat, stream)
    with frozen_in_eval_mode(view), torch.enable_grad():
        if mode.needs_clean or objective.needs_clean:
            problem = problem.with_clean()
        return mode(problem, objective, images.pixels, stream, 0.0).gradient
