"""How long an evaluation will take, before it begins: passes by the attacks' settings, times the clock of one pass."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import torch

from robustbench_aig.attacks import Pgd, View
from robustbench_aig.evaluation import Evaluator, Images, Subject
from robustbench_aig.gating import gating
from robustbench_aig.network_modes import frozen_in_eval_mode
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import PgdRecipe
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_suite

_FACTORS = ("steps", "restarts", "targets", "searches", "draws")
"""Settings whose product is the number of passes."""

_KNOWN = {
    "torchattacks-autoattack": 4500,
    "pyautoattack": 4500,
    "foolbox-hopskipjump": 11_000,
    "torchattacks-square": 1700,
}
"""For an image that resists; without a gradient three count as one. AutoAttack's authors count 7,900 forward and 1,900
backward; HopSkipJump asks 100 times the root of the step's number in each of 64 steps; Square asks 5,000 times."""

_FORWARD, _SHARED = 1 / 3, 9
"""Time of a forward pass in that of both, and passes that patterns share in one (512 cost 57)."""

_STEPS, _BATCH, _BALL = 5, 100, Threat.parse("8/255")
"""Of the attack that is clocked; a pass takes as long in every ball."""

_QUICK, _WORTH = "quick", 60
"""The suite that is named beside a longer one, and the seconds from which on that is worth a line."""


def duration(evaluator: Evaluator, suite: str | None) -> str | None:
    """`about 4 min; --suite quick about 1 min`, an estimate for this machine; at most so long where it's a cascade.

    None where a part is done already, so that less is left, and where a network can't be clocked: what is wrong with it
    is told when it is attacked.

    Args:
        evaluator: ready to run.
        suite: that was chosen; None where attacks were named one by one.
    """
    plan = evaluator.plan
    if any(evaluator.store.has(e.id, 0) for e in plan.evaluations):
        return None
    try:
        clocks = {key: _seconds_of_pass(one, evaluator.images) for key, one in evaluator.subjects.items()}
    except Exception:  # noqa: BLE001 - a network of the user's may do anything
        return None
    seconds = sum(_cost(e.settings, evaluator, clocks, (e.model, e.policy)) for e in plan.evaluations)
    told = f"{'at most' if plan.cascade else 'about'} {_spoken(seconds)} on this machine"
    if suite in {None, _QUICK} or seconds < _WORTH:
        return told
    balls = {(e.model, e.policy, e.threat) for e in plan.evaluations if e.threat}
    quick = [recipe.attack.model_dump() for _, recipe in find_suite(_QUICK)[0]]
    shorter = sum(_cost(one, evaluator, clocks, ball[:2]) for ball in balls for one in quick)
    return f"{told}; --suite {_QUICK}: at most {_spoken(shorter)}" if shorter < seconds else told


def passes(settings: Mapping[str, Any]) -> int:
    """Passes per image that an attack takes at most, by its recipe; 0 for a control that asks nothing of a network."""
    if "of" in settings:
        return passes(settings["of"])
    algorithm = str(settings.get("algorithm", ""))
    if algorithm in _KNOWN:
        return _KNOWN[algorithm]
    numbers = [settings[name] for name in _FACTORS if isinstance(settings.get(name), int)]
    inner = settings.get("gates", {}).get("draws", 1)
    if not numbers and algorithm != "fgsm":
        return 0
    return int(math.prod(max(number, 1) for number in numbers) * inner)


def _cost(
    settings: Mapping[str, Any],
    evaluator: Evaluator,
    clocks: Mapping[tuple[str, str], float],
    of: tuple[str, str],
) -> float:
    """Seconds of one evaluation: the attack's passes, and those that judge, which need no gradient."""
    scoring = evaluator.subjects[of].scoring(evaluator.plan.draws)
    # The attacked image and its clean version; all patterns share work, and cost less than so many passes.
    judging = 2 * (scoring or 2 ** len(evaluator.subjects[of].profile.blocks) / _SHARED) * _FORWARD
    work = passes(settings) + judging
    return work * clocks[of] * len(evaluator.images) / evaluator.together.world.size


def _seconds_of_pass(subject: Subject, images: Images) -> float:
    """Of one image, forward and backward, as PGD takes it in a batch; the second time, since the first warms up."""
    model = subject.copy or subject.model
    device = next((parameter.device for parameter in model.parameters()), images.pixels.device)
    index = torch.arange(min(len(images), _BATCH), device=images.pixels.device)
    x, y, ids = (part[index].to(device) for part in (images.pixels, images.labels, images.ids))
    attack = Pgd(PgdRecipe(steps=_STEPS))
    policy = subject.deployed(Stream.of(ids, "duration"))
    spent = 0.0
    with frozen_in_eval_mode(model), gating(model, policy):
        for _ in range(2):
            started = time.perf_counter()
            float(attack(View(model, policy), x, y, _BALL, Stream.of(ids, "duration")).sum())
            spent = time.perf_counter() - started
    return spent / _STEPS / len(ids)


def _spoken(seconds: float) -> str:
    """`20 s`, `4 min`, `2.5 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
