"""A seeded choice of attacked images with their perturbation and the gates that changed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from robustbench_aig.records import Evaluation, Report
from robustbench_aig.reporting.evidence import Evidence, load_images
from robustbench_aig.reporting.pictures import Pixels, png
from robustbench_aig.reporting.series import Series, headline
from robustbench_aig.reporting.table_columns import Rows

MOST_CARDS = 12
# Beyond 64 pixels a picture is thinned: a page of photos would be tens of megabytes.
_SIDE = 64
_PIXELS = MOST_CARDS * 32 * 32
"""Cards are fewer where images are larger: noise does not compress, and the page must stay small."""


class GateChange(NamedTuple):
    """One gate on one image: its decision under attack, and whether that is new."""

    name: str
    opened: bool
    flipped: bool


class Card(NamedTuple):
    """One attacked image; pictures are data URIs, `before` and `after` what the model said."""

    image: int
    label: str
    before: str
    after: str
    clean: str
    change: str
    attacked: str
    gates: list[GateChange]


class Shelf(NamedTuple):
    """The cards of one gated model under a policy; without cards, `missing` says why."""

    series: Series
    evaluation: Evaluation
    factor: float
    every: int
    cards: list[Card]
    missing: str


def shelves(report: Report, evidence: Evidence, directory: Path, series: list[Series]) -> list[Shelf]:
    """One shelf per gated series, under the attack that cost it most at the largest epsilon.

    Raises:
        RunError: if an image file is damaged.
    """
    found = [(one, headline(report.evaluations, one.model, one.policy)) for one in series if one.chooses]
    return [_shelf(one, e, evidence, directory) for one, e in found if e is not None]


def _shelf(series: Series, evaluation: Evaluation, evidence: Evidence, directory: Path) -> Shelf:
    clean_id = next(
        e.id for e in evidence.plan.evaluations if (e.model, e.policy, e.role) == (series.model, series.policy, "clean")
    )
    shape = evidence.plan.data.shape
    clean, attacked = (load_images(directory, name, shape) for name in (clean_id, evaluation.id))
    empty = Shelf(series, evaluation, 0.0, 1, [], "")
    if clean is None or attacked is None or evidence.alone:
        return empty._replace(missing="No images were kept for this evaluation.")
    rows = evidence.rows[evaluation.id]
    ids = np.intersect1d(np.intersect1d(clean.ids, attacked.ids), rows.image[rows.ok])
    if not ids.size:
        return empty._replace(missing="None of the kept images was attacked without failure.")
    every = -(-max(clean.pixels.shape[2:]) // _SIDE)
    before = _thin(clean.pixels, every)
    count = min(ids.size, int(np.clip(_PIXELS // before[0, 0].size, 4, MOST_CARDS)))
    chosen = np.sort(np.random.default_rng(evidence.plan.seed).choice(ids, count, replace=False))
    before = before[clean.positions(chosen)]
    after = _thin(attacked.pixels, every)[attacked.positions(chosen)]
    largest = float(np.abs(after - before).max())
    factor = 0.5 / largest if largest else 1.0
    cards = [_card(int(image), (before[i], after[i]), factor, evidence, evaluation) for i, image in enumerate(chosen)]
    return Shelf(series, evaluation, factor, every, cards, "")


def _card(image: int, pixels: tuple[Pixels, Pixels], factor: float, evidence: Evidence, evaluation: Evaluation) -> Card:
    rows, names = evidence.rows[evaluation.id], evidence.plan.data.classes
    clean = evidence.clean(evaluation.model, evaluation.gate_policy)
    assert clean is not None
    row = int(np.searchsorted(rows.image, image))
    gates = zip(evidence.model(evaluation.model).gates, rows.gates_clean[row], rows.gates_adv[row], strict=True)
    before, after = pixels
    return Card(
        image=image,
        label=names[rows.label[row]],
        before=_said(clean, row, names),
        after=_said(rows, row, names),
        clean=png(before),
        change=png(0.5 + factor * (after - before)),
        attacked=png(after),
        gates=[GateChange(gate.name, bool(new), bool(old != new)) for gate, old, new in gates],
    )


def _said(rows: Rows, row: int, names: list[str]) -> str:
    if not rows.ok[row]:
        return "failed"
    said = names[rows.prediction[row]]
    if rows.draws[row] == 0:
        return f"{said} (right with probability {rows.p_correct[row]:.3f})"
    return f"{said} ({rows.correct[row]} of {rows.draws[row]} draws right)" if rows.draws[row] > 1 else said


def _thin(pixels: Pixels, every: int) -> Pixels:
    """Every k-th pixel: averaging would shrink the perturbation."""
    return pixels[:, :, ::every, ::every]
