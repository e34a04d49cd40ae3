"""In what two plans differ that decides their numbers, in a user's words."""

from __future__ import annotations

from collections.abc import Callable

from robustbench_aig.records import DataRecord, EvaluationPlan, ModelRecord, Plan

_PARTS: dict[str, Callable[[Plan], object]] = {
    "seed": lambda plan: plan.seed,
    "chunk size": lambda plan: plan.chunk,
    "number of draws": lambda plan: plan.draws,
    "cascade": lambda plan: plan.cascade,
    "precision": lambda plan: plan.precision,
    "version of torch": lambda plan: plan.environment.get("torch"),
    "networks": lambda plan: [model.name for model in plan.models],
    "gate policies": lambda plan: _of_each(plan, lambda e: e.policy),
    "attacks": lambda plan: _of_each(plan, lambda e: (e.attack, e.role) if e.corruption is None else None),
    "settings of an attack": lambda plan: {e.attack: e.settings for e in plan.evaluations},
    "threats": lambda plan: _of_each(plan, lambda e: e.threat),
    "corruptions": lambda plan: _of_each(plan, lambda e: e.corruption),
    "versions of providers": lambda plan: {
        e.provider: e.provider_version for e in plan.evaluations if e.provider != "aigrob"
    },
}


def differences(before: Plan, after: Plan) -> list[str]:
    """Names of what isn't equal; at least one, where their digests differ."""
    found = [name for name, of in _PARTS.items() if of(before) != of(after)]
    if "networks" not in found:
        found += _networks(before, after)
    if "threats" not in found and _spelled(before) != _spelled(after):
        found.append("spelling of epsilon")
    return [*found, *_images(before.data, after.data)] or ["records of its networks"]


def _networks(before: Plan, after: Plan) -> list[str]:
    """What differs of networks that are called the same."""
    parts: dict[str, Callable[[ModelRecord], object]] = {
        "weights": lambda model: model.weights_digest,
        "defence": lambda model: model.defence,
        "rates of the policy 'random'": lambda model: model.rates,
    }
    pairs = list(zip(before.models, after.models, strict=True))
    return [name for name, of in parts.items() if any(of(one) != of(other) for one, other in pairs)]


def _images(before: DataRecord, after: DataRecord) -> list[str]:
    """The data set where it's another, else how many of its images or which."""
    known = ("name", "split", "available", "shape", "classes")
    if any(getattr(before, key) != getattr(after, key) for key in known):
        return ["data"]
    if before.n != after.n:
        return [f"number of images, {before.n} then and {after.n} now"]
    return ["images"] if before.digest != after.digest else []


def _spelled(plan: Plan) -> list[object]:
    """Epsilons as they were typed, which the files of a report are called after."""
    return _of_each(plan, lambda e: e.threat and e.threat.eps)


def _of_each(plan: Plan, of: Callable[[EvaluationPlan], object]) -> list[object]:
    """Each distinct value once, in their order."""
    return list(dict.fromkeys(of(e) for e in plan.evaluations))
