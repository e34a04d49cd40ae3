"""Clocks: what attacks cost the networks that skip blocks, and whether skipped blocks save time beside a plain network.

What they say is kept in `latency.json` and `pace.json`, and goes into the report, which is written when they are done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
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
from robustbench_aig.manifest import Manifest
from robustbench_aig.models import fused
from robustbench_aig.policy_traits import PLAIN, traits
from robustbench_aig.records import Clocked, Evaluation, Latency, Pace, Report
from robustbench_aig.reporting.aggregation import Counted, count
from robustbench_aig.reporting.claims import groups
from robustbench_aig.reporting.evidence import load_evidence, load_images, load_paces
from robustbench_aig.reporting.report_files import write_counted
from robustbench_aig.reporting.series import can_be_misled, headline


def finish(evaluator: Evaluator, tell: Callable[[str], object], *, clocks: bool = True) -> Report:
    """Write the report of an evaluation that has finished, with clocks where they are wanted. Rows are counted once.

    One process does that, when the others have ended.

    Args:
        evaluator: its store holds the evaluations.
        tell: is told before the first of a kind of clock.
        clocks: whether to measure what has not been measured yet.

    Raises:
        RunError: a file of the report directory is damaged.
    """
    directory = evaluator.store.directory
    try:
        counted = count(load_evidence(directory))
        if clocks:
            latency, pace = add_latencies(evaluator, counted, tell), add_paces(evaluator, tell)
            counted = replace(counted, evidence=replace(counted.evidence, latency=latency, pace=pace))
        return write_counted(counted, directory, evaluator.images.originals)
    finally:
        evaluator.store.give_back()


def add_latencies(evaluator: Evaluator, counted: Counted, tell: Callable[[str], object]) -> dict[str, Latency]:
    """Measure what deserves a clock and has no latency yet; each is kept at once.

    Networks that compute every block whatever their gates say are left out, and so are evaluations of which no image
    was kept.

    Args:
        evaluator: that has finished.
        counted: what is in its store.
        tell: is told before the first is measured.

    Returns:
        Every latency that is known now, by evaluation.

    Raises:
        RunError: a file of the report directory is damaged.
    """
    evidence = counted.evidence
    wanted = [e for e in clocked(counted) if e.id not in evidence.latency]
    models = {e.model: evaluator.subjects[e.model, e.gate_policy].model for e in wanted}
    copies = {name: sparse_copy(model) for name, model in models.items()}
    known = dict(evidence.latency)
    told = False
    for e in wanted:
        copy = copies[e.model]
        clean = next(c for c in counted.evaluations if (c.model, c.gate_policy, c.role) == _clean_of(e))
        rows = evidence.rows[e.id]
        pictures = _pictures(evaluator, clean.id, e.id, set(rows.image[rows.ok].tolist()))
        if copy is None or pictures is None:
            continue
        if not told:
            tell("measuring latency")
            told = True
        found = measure_latency(copy, evaluator.subjects[e.model, e.gate_policy], pictures, seed=evaluator.plan.seed)
        if found is not None:
            known[e.id] = found
            _keep(evaluator.store.manifest, "latency.json", known)
    return known


def _keep(manifest: Manifest, name: str, known: Mapping[str, Clocked]) -> None:
    content = {name: found.model_dump() for name, found in known.items()}
    manifest.write(name, json.dumps(content, indent=1, sort_keys=True))


def clocked(counted: Counted) -> list[Evaluation]:
    """The attacks on the compute, and the one that cost most of every network whose gates can be misled by a policy."""
    evaluations = counted.evaluations
    pairs = dict.fromkeys((e.model, e.gate_policy) for e in evaluations)
    misled = [pair for pair in pairs if can_be_misled(counted.evidence.model(pair[0]).family, pair[1])]
    ids = {e.id for pair in misled if (e := headline(evaluations, *pair)) is not None}
    return [e for e in evaluations if e.role == "compute" or e.id in ids]


def _clean_of(evaluation: Evaluation) -> tuple[str, str, str]:
    return evaluation.model, evaluation.gate_policy, "clean"


def _pictures(evaluator: Evaluator, clean_id: str, attacked_id: str, measured: set[int]) -> Pictures | None:
    """The measured images of which both versions are stored, as many as are stored by default; None without any."""
    directory, shape = evaluator.store.directory, evaluator.plan.data.shape
    clean, attacked = (load_images(directory, name, shape) for name in (clean_id, attacked_id))
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


def add_paces(evaluator: Evaluator, tell: Callable[[str], object]) -> dict[str, Pace]:
    """Measure, on clean images that were kept, what has no pace yet; each is kept at once.

    Networks that compute every block whatever their gates say are left out.

    Args:
        evaluator: that has finished; its store holds the evaluations.
        tell: is told before the first is measured.

    Returns:
        Every pace that is known now, by evaluation.

    Raises:
        RunError: a file of the report directory is damaged.
    """
    subjects, known = evaluator.subjects, load_paces(evaluator.store.directory)
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
            known[race.evaluation] = found
            _keep(evaluator.store.manifest, "pace.json", known)
    return known


def _races(evaluator: Evaluator) -> Iterator[_Race]:
    """Every gated network, under each policy that chooses blocks, beside the plain one of its seed or the first."""
    clean = [e for e in evaluator.plan.evaluations if e.role == "clean" and traits(e.policy).chooses]
    for group in groups(evaluator.plan):
        for gated, plain in group.pairs:
            yield from (_Race(e.id, e.model, e.policy, plain.name) for e in clean if e.model == gated.name)


def _kept(evaluator: Evaluator, race: _Race) -> tuple[Tensor, Tensor] | None:
    """Numbers and pixels of the clean images that are stored by default; None without any."""
    found = load_images(evaluator.store.directory, race.evaluation, evaluator.plan.data.shape)
    if found is None or not found.ids.size:
        return None
    ids, pixels = (torch.from_numpy(array[:KEPT]).to(evaluator.device) for array in (found.ids, found.pixels))
    return ids, pixels
