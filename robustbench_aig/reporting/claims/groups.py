"""Who is compared with whom: gated networks and their plain twins, alike but for the training seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from robustbench_aig.defences import JpegDefence
from robustbench_aig.records import ModelRecord, Plan


@dataclass(frozen=True)
class Group:
    """Networks of one recipe, over training seeds, and those that they are compared with.

    Attributes:
        gated: at least one; in the order of the seeds.
        plain: of the recipe whose compute is nearest to theirs with all gates open; none where there is none.
    """

    gated: tuple[ModelRecord, ...]
    plain: tuple[ModelRecord, ...]

    @property
    def paired(self) -> bool:
        """Whether networks stand in pairs of the same training seed."""
        seeds = [[model.seed for model in side] for side in (self.gated, self.plain)]
        return seeds[0] == seeds[1] and len(set(seeds[0])) == len(seeds[0])

    @property
    def pairs(self) -> list[tuple[ModelRecord, ModelRecord]]:
        """Each gated network with the plain one of its seed, or else with the first; none without a plain one."""
        rivals = self.plain if self.paired else self.plain[:1] * len(self.gated)
        return list(zip(self.gated, rivals, strict=False))

    @property
    def hardened(self) -> bool:
        """Whether they were trained adversarially."""
        return self.gated[0].adversarial is not None

    @property
    def defence(self) -> JpegDefence | None:
        """What stands before all of them."""
        return self.gated[0].defence

    @property
    def models(self) -> tuple[ModelRecord, ...]:
        """All of them."""
        return self.gated + self.plain


def groups(plan: Plan) -> list[Group]:
    """All gated recipes of a plan, with the plain one each is compared with."""
    families = {family: _alike([m for m in plan.models if m.family == family]) for family in ("gated", "plain")}
    found = []
    for gated in families["gated"]:
        rivals = [p for p in families["plain"] if _treated(p[0]) == _treated(gated[0])]
        found.append(Group(gated, min(rivals, key=lambda p: _apart(p[0], gated[0]), default=())))
    return found


def _apart(one: ModelRecord, other: ModelRecord) -> float:
    """How far their compute is apart, all gates open; infinitely where one's isn't known."""
    if one.total_macs is None or other.total_macs is None:
        return math.inf
    return abs(one.total_macs - other.total_macs)


def _alike(models: Sequence[ModelRecord]) -> list[tuple[ModelRecord, ...]]:
    """Networks that differ in the training seed alone, together."""
    found: dict[tuple[object, ...], list[ModelRecord]] = {}
    for model in models:
        found.setdefault((model.recipe, _initial(model), *_treated(model)), []).append(model)
    return [tuple(sorted(same, key=_by_seed)) for same in found.values()]


def _by_seed(model: ModelRecord) -> int:
    return -1 if model.seed is None else model.seed


def _initial(model: ModelRecord) -> str | None:
    """The run that it began as."""
    return model.training.initial.run if model.training and model.training.initial else None


def _treated(model: ModelRecord) -> tuple[object, ...]:
    """What networks must have in common to be compared: method and ball of adversarial training, and the defence."""
    attacked = model.adversarial
    return attacked and (attacked.method, attacked.threat), model.defence
