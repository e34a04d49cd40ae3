"""Which finished evaluations deserve a clock, and where what it says is kept: `latency.json`."""

from __future__ import annotations

import json
from collections.abc import Callable

import torch

from robustbench_aig.evaluation.latency import Pictures, measure_latency, sparse_copy
from robustbench_aig.evaluation.loop import KEPT, Evaluator
from robustbench_aig.files import write_atomic
from robustbench_aig.records import Evaluation, Report
from robustbench_aig.reporting.aggregation import summarise
from robustbench_aig.reporting.loading import load_evidence, load_images
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
