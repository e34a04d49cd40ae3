"""Who is compared with whom: gated networks and their plain twins, each alike but for the training seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from robustbench_aig.defence_names import JpegDefence
from robustbench_aig.records import ModelRecord, Plan


@dataclass(frozen=True)
class Group:
    """Networks of one recipe, over training seeds, and those that they are compared with.

    Attributes:
        gated: at least one; in the order of the seeds.
        plain: their usual twins, by `_likeness`; none where there is none.
        others: further plain networks that are treated alike, training by training.
    """

    gated: tuple[ModelRecord, ...]
    plain: tuple[ModelRecord, ...]
    others: tuple[tuple[ModelRecord, ...], ...] = ()

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
    """All gated recipes of a plan, with the plain ones each is compared with."""
    families = {family: alike([m for m in plan.models if m.family == family]) for family in ("gated", "plain")}
    found = []
    for gated in families["gated"]:
        rivals = [p for p in families["plain"] if _treated(p[0]) == _treated(gated[0])]
        usual, *others = sorted(rivals, key=lambda plain: _likeness(plain, gated)) or [()]
        found.append(Group(gated, usual, tuple(others)))
    return found


def _likeness(
    plains: Sequence[ModelRecord], gates: Sequence[ModelRecord]
) -> tuple[bool, bool, bool, float, float, str]:
    """The lower, the more usual.

    The twin that the gated recipe names, or that names it; then the plain networks that the gated ones began with; the
    nearest compute with all gates open, the nearest number of epochs, the name.
    """
    plain, gated = plains[0], gates[0]
    lasts = [model.training.epochs if model.training else None for model in (plain, gated)]
    return (
        gated.twin != plain.recipe,
        plain.twin != gated.recipe,
        not _began_with(plains, gates),
        _apart(plain.total_macs, gated.total_macs),
        _apart(*lasts),
        plain.name,
    )


def _began_with(plains: Sequence[ModelRecord], gates: Sequence[ModelRecord]) -> bool:
    began = [model.training.initial for model in gates if model.training and model.training.initial]
    return bool({model.weights_digest for model in plains} & {initial.weights_digest for initial in began})


def _apart(one: int | None, other: int | None) -> float:
    """How far two numbers are apart; infinitely where one isn't known."""
    return math.inf if one is None or other is None else abs(one - other)


def alike(models: Sequence[ModelRecord]) -> list[tuple[ModelRecord, ...]]:
    """Networks that differ in the training seed alone, together."""
    found: dict[tuple[object, ...], list[ModelRecord]] = {}
    for model in models:
        found.setdefault((model.recipe, *_trained(model), *_treated(model)), []).append(model)
    return [tuple(sorted(same, key=_by_seed)) for same in found.values()]


def _by_seed(model: ModelRecord) -> int:
    return -1 if model.seed is None else model.seed


def _trained(model: ModelRecord) -> tuple[object, ...]:
    """What a recipe leaves open, but for the seed: preset, epochs, and what the training began with.

    Trainings of several seeds that began with runs of one recipe, each with that of its seed, are alike.
    """
    if model.training is None:
        return ()
    initial = model.training.initial
    own = initial and initial.recipe_digest and initial.seed == model.seed
    began = initial and (initial.recipe_digest if own else initial.run)
    return model.training.preset, model.training.epochs, began


def _treated(model: ModelRecord) -> tuple[object, ...]:
    """What networks must have in common to be compared: method and ball of adversarial training, and the defence."""
    attacked = model.adversarial
    return attacked and (attacked.method, attacked.threat), model.defence
