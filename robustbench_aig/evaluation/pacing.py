"""Whether skipped blocks save time: gated networks beside plain ones, by the clock; kept in `pace.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from robustbench_aig.evaluation.latency import Runner, measure_pace, sparse_copy
from robustbench_aig.evaluation.loop import KEPT, Evaluator
from robustbench_aig.files import write_atomic
from robustbench_aig.models import fused
from robustbench_aig.policies import PLAIN, traits
from robustbench_aig.reporting.claims import groups
from robustbench_aig.reporting.loading import load_images, load_paces


class _Race(NamedTuple):
    """A gated network under a policy, and the plain one that it is compared with."""

    evaluation: str
    gated: str
    policy: str
    plain: str


def add_paces(evaluator: Evaluator, tell: Callable[[str], object]) -> None:
    """Measure, on unattacked images that were kept, what has no pace yet; each is kept at once.

    Networks that compute every block whatever their gates say are left out. One process does that, when the others have
    ended.

    Args:
        evaluator: that has finished; its store holds the evaluations.
        tell: is told before the first is measured.

    Raises:
        RunError: a file of the report directory is damaged.
    """
    directory, subjects = evaluator.store.directory, evaluator.subjects
    known = {name: pace.model_dump() for name, pace in load_paces(directory).items()}
    told = False
    for race in [race for race in _races(evaluator) if race.evaluation not in known]:
        gated, plain = subjects[race.gated, race.policy], subjects[race.plain, PLAIN]
        kept, copy = _kept(evaluator, race), sparse_copy(gated.model)
        if kept is None or copy is None:
            continue
        if not told:
            tell("measuring pace beside plain networks")
            told = True
        runners = Runner(copy, gated), Runner(fused(plain.model), plain)
        found = measure_pace(*runners, *kept, seed=evaluator.plan.seed)
        if found is not None:
            known[race.evaluation] = found.model_dump()
            write_atomic(directory / "pace.json", json.dumps(known, indent=1, sort_keys=True))


def _races(evaluator: Evaluator) -> Iterator[_Race]:
    """Every gated network, under each policy that chooses blocks, beside the plain one of its seed or the first."""
    clean = [e for e in evaluator.plan.evaluations if e.role == "clean" and traits(e.policy).chooses]
    for group in groups(evaluator.plan):
        for gated, plain in group.pairs:
            yield from (_Race(e.id, e.model, e.policy, plain.name) for e in clean if e.model == gated.name)


def _kept(evaluator: Evaluator, race: _Race) -> tuple[Tensor, Tensor] | None:
    """Numbers and pixels of the unattacked images that are stored by default; None without any."""
    found = load_images(evaluator.store.directory, race.evaluation)
    if found is None or not found.ids.size:
        return None
    ids, pixels = (torch.from_numpy(array[:KEPT]).to(evaluator.device) for array in (found.ids, found.pixels))
    return ids, pixels
