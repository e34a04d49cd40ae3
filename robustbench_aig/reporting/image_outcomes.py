"""Which attack breaks which image: a table of the images on which networks disagree most, down to the single gate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robustbench_aig.records import EvaluationPlan, Plan, Report
from robustbench_aig.reporting.evidence import Evidence
from robustbench_aig.reporting.gallery import GateChange
from robustbench_aig.reporting.series import Series, threats
from robustbench_aig.reporting.table_columns import Bools, Ints
from robustbench_aig.reporting.union import members_of, worst
from robustbench_aig.threat import Threat

MOST = 300
"""Images in the table; the others are in the sample tables alone."""
_SEEDED = 64
"""Of them chosen by the seed alone, so that the table isn't telling images only."""


class ImageOutcome(NamedTuple):
    """What became of one image under one series.

    Attributes:
        place: 0 where it is misclassified clean, 1 for the smallest epsilon, and so on; beyond the last it is robust.
        strength: that place in words.
        attack: that was worst for it there, or at the largest epsilon where it is robust.
        gates: its gates under that attack; empty where nothing was attacked, or no gate is.
    """

    place: int
    strength: str
    attack: str
    gates: list[GateChange]


class Told(NamedTuple):
    """A line of the table: an image, its class and its outcome under each series of the table."""

    image: int
    label: str
    outcome: str
    outcomes: list[ImageOutcome]


class ImageOutcomes(NamedTuple):
    """The table over `total` images; `strengths` are its epsilons from the smallest."""

    series: list[Series]
    strengths: list[Threat]
    lines: list[Told]
    total: int


class _Track(NamedTuple):
    """One series over all images: (T, N) the worst evaluation of each image at each epsilon, and if that breaks it."""

    members: list[list[EvaluationPlan]]
    chosen: Ints
    lost: Bools
    wrong: Bools

    @property
    def places(self) -> Ints:
        """(N,) as `ImageOutcome.place`."""
        stages = np.vstack([self.wrong, self.lost, np.ones_like(self.wrong)])
        return np.asarray(stages.argmax(axis=0), dtype=np.int64)

    def met(self, image: int, place: int) -> EvaluationPlan | None:
        """The evaluation that breaks an image, or the worst at the largest epsilon; None if misclassified clean."""
        at = min(place, len(self.members)) - 1
        return self.members[at][self.chosen[at, image]] if place else None


def image_outcomes(report: Report, evidence: Evidence, series: list[Series]) -> ImageOutcomes | None:
    """The table of a report; None without a finished worst case."""
    strengths = _strengths(report)
    tracks = _tracks(evidence, [(one.model, one.policy) for one in series], strengths)
    if not tracks:
        return None
    shown = [one for one in series if (one.model, one.policy) in tracks]
    ordered = [tracks[one.model, one.policy] for one in shown]
    rows = evidence.rows[ordered[0].members[0][0].id]
    places = np.stack([track.places for track in ordered])
    images = _telling(places, evidence.plan)
    told = zip(*(_outcomes_of(track, strengths, images, evidence) for track in ordered), strict=True)
    lines = [
        Told(
            int(rows.image[n]),
            evidence.plan.data.classes[rows.label[n]],
            _outcome(places[:, n], len(strengths)),
            list(outcomes_of),
        )
        for n, outcomes_of in zip(images, told, strict=True)
    ]
    return ImageOutcomes(shown, strengths, lines, rows.image.size)


def _strengths(report: Report) -> list[Threat]:
    """The epsilons of the first norm, from the smallest."""
    found = threats(report)
    return [threat for threat in found if threat.norm == found[0].norm]


def _tracks(
    evidence: Evidence, wanted: list[tuple[str, str]], strengths: list[Threat]
) -> dict[tuple[str, str], _Track]:
    """Those series whose worst case is finished at every epsilon."""
    grouped = {(m[0].model, m[0].policy, threat): m for threat, m in members_of(evidence.plan)}
    found = {}
    for model, policy in wanted:
        members = [grouped.get((model, policy, threat), []) for threat in strengths]
        if members and all(part and all(e.id in evidence.rows for e in part) for part in members):
            found[model, policy] = _track(evidence, members)
    return found


def _track(evidence: Evidence, members: list[list[EvaluationPlan]]) -> _Track:
    parts = ([evidence.rows[e.id].without_gates() for e in part] for part in members)
    chosen, lost = zip(*(worst(part) for part in parts), strict=True)
    clean = evidence.rows[members[0][0].id]
    return _Track(members, np.stack(chosen), np.stack(lost), clean.choice_score < 0.5)


def _telling(places: Ints, plan: Plan) -> list[int]:
    """The positions of the images of the table, in the images' order.

    First a seeded choice, then those whose outcome differs most between the series, then by the seed again.
    """
    # A stable sort after a shuffle: equals come in seeded order, not by their position in the data set.
    shuffled = np.random.default_rng(plan.seed).permutation(places.shape[1])
    spread = np.ptp(places, axis=0)[shuffled]
    telling = shuffled[np.argsort(-spread, kind="stable")]
    chosen = dict.fromkeys([*shuffled[:_SEEDED].tolist(), *telling.tolist()])
    return sorted(list(chosen)[:MOST])


def _outcome(places: Ints, strengths: int) -> str:
    """What the outcomes of an image have in common."""
    if (places == 0).any():
        return "misclassified when clean" if (places == 0).all() else "misclassified when clean by some networks"
    robust = places > strengths
    return "robust in all networks" if robust.all() else "robust in some" if robust.any() else "broken in all networks"


def _outcomes_of(track: _Track, strengths: list[Threat], images: list[int], evidence: Evidence) -> list[ImageOutcome]:
    """Of some images under one series. Table after table is read: images in their order would go to and fro."""
    placed = dict(zip(images, track.places[images].tolist(), strict=True))
    met = {image: track.met(image, place) for image, place in placed.items()}
    changes: dict[int, list[GateChange]] = {}
    for evaluation in {e.id: e for e in met.values() if e is not None}.values():
        rows, gates = evidence.rows[evaluation.id], evidence.model(evaluation.model).gates
        for image in (image for image, e in met.items() if e is evaluation):
            decisions = zip(gates, rows.gates_clean[image], rows.gates_adv[image], strict=True)
            changes[image] = [GateChange(gate.name, bool(new), bool(old != new)) for gate, old, new in decisions]
    places = ["clean", *(threat.eps for threat in strengths), "robust"]
    return [
        ImageOutcome(placed[image], places[placed[image]], "" if e is None else e.attack, changes.get(image, []))
        for image, e in met.items()
    ]
