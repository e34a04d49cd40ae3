"""Clocks: what attacks cost the networks that skip blocks, and whether skipped blocks save time beside a plain network.

What they say is kept in `latency.json` and `pace.json`. One process asks them, when the others have ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from robustbench_aig.evaluation.evaluator import KEPT, Evaluator
from robustbench_aig.evaluation.latency import (
    Pictures,
    Runner,
    measure_latency,
    measure_pace,
    sparse_copy,
)
from robustbench_aig.files import write_atomic
from robustbench_aig.models import fused
from robustbench_aig.policies import PLAIN, traits
from robustbench_aig.records import Evaluation, Report
from robustbench_aig.reporting.aggregation import summarise
from robustbench_aig.reporting.claims import groups
from robustbench_aig.reporting.evidence import load_evidence, load_images, load_paces
from robustbench_aig.reporting.series import all_series, headline


def add_latencies(evaluator: Evaluator, tell: Callable[[str], object]) -> None:
    """Measure what deserves a clock and has no latency yet; each is kept at once.

    One process does that, when the others have ended. Networks that compute every block whatever their gates say are
    left out, and so are evaluations of which no image was kept.

    Args:
        evaluator: that has finished; its store holds the evaluations.
        tell: is told before the first is measured.

    Raises:
        RunError: a file of the report directory is damaged.
    """
    evidence = load_evidence(evaluator.store.directory)
    report = summarise(evidence)
    wanted = [e for e in clocked(report) if e.id not in evidence.latency]
    models = {e.model: evaluator.subjects[e.model, e.gate_policy].model for e in wanted}
    copies = {name: sparse_copy(model) for name, model in models.items()}
    known = {name: latency.model_dump() for name, latency in evidence.latency.items()}
    told = False
    for e in wanted:
        copy = copies[e.model]
        clean = next(c for c in report.evaluations if (c.model, c.gate_policy, c.role) == _clean_of(e))
        rows = evidence.rows[e.id]
        pictures = _pictures(evaluator, clean.id, e.id, set(rows.image[rows.ok].tolist()))
        if copy is None or pictures is None:
            continue
        if not told:
            tell("measuring latency")
            told = True
        found = measure_latency(copy, evaluator.subjects[e.model, e.gate_policy], pictures, seed=evaluator.plan.seed)
        if found is not None:
            known[e.id] = found.model_dump()
            write_atomic(evaluator.store.directory / "latency.json", json.dumps(known, indent=1, sort_keys=True))


def clocked(report: Report) -> list[Evaluation]:
    """The attacks on the compute, and of every series whose gates can be misled the attack that cost it most."""
    strongest = [headline(report, series) for series in all_series(report) if series.chooses]
    ids = {e.id for e in strongest if e is not None}
    return [e for e in report.evaluations if e.role == "compute" or e.id in ids]


def _clean_of(evaluation: Evaluation) -> tuple[str, str, str]:
    return evaluation.model, evaluation.gate_policy, "clean"


def _pictures(evaluator: Evaluator, clean_id: str, attacked_id: str, measured: set[int]) -> Pictures | None:
    """The measured images of which both versions are stored, as many as are stored by default; None without any."""
    clean, attacked = (load_images(evaluator.store.directory, name) for name in (clean_id, attacked_id))
    if clean is None or attacked is None:
        return None
    place = {image: number for number, image in enumerate(clean.ids.tolist()) if image in measured}
    shared = [(place[image], number) for number, image in enumerate(attacked.ids.tolist()) if image in place][:KEPT]
    if not shared:
        return None
    first, second = (list(numbers) for numbers in zip(*shared, strict=True))
    found = (clean.ids[first], clean.pixels[first], attacked.pixels[second])
    return Pictures(*(torch.from_numpy(array).to(evaluator.device) for array in found))


class _Race(NamedTuple):
    """A gated network under a policy, and the plain one that it is compared with."""

    evaluation: str
    gated: str
    policy: str
    plain: str


def add_paces(evaluator: Evaluator, tell: Callable[[str], object]) -> None:
    """Measure, on clean images that were kept, what has no pace yet; each is kept at once.

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
    """Numbers and pixels of the clean images that are stored by default; None without any."""
    found = load_images(evaluator.store.directory, race.evaluation)
    if found is None or not found.ids.size:
        return None
    ids, pixels = (torch.from_numpy(array[:KEPT]).to(evaluator.device) for array in (found.ids, found.pixels))
    return ids, pixels
