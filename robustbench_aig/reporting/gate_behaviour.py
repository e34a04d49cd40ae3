"""What the gates did: execution rates, flips and shifts, clean against attacked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustbench_aig.gateshift import Version, Versions, dependence_of_network, moved_gates
from robustbench_aig.records import ClassShift, Dependence, Gates, GateShift, GateStratum, ModelRecord
from robustbench_aig.reporting.table_columns import Bools, Floats, Rows
from robustbench_aig.statistics import mean_interval


@dataclass(frozen=True)
class Beside:
    """What stands beside the rows of an evaluation, of the same model under the same policy.

    Attributes:
        clean: of the clean images.
        corners: under random-sign noise of the same threat; None where that control wasn't run.
        permuted: under shuffled perturbations of the same threat; None where that control wasn't run.
    """

    clean: Rows
    corners: Rows | None
    permuted: Rows | None


def gates(
    rows: Rows, beside: Beside, model: ModelRecord, policy: str, classes: list[str], *, confidence: float
) -> Gates | None:
    """Summarise the gates of the images that were measured.

    Args:
        rows: of one evaluation of a gated model.
        beside: of the images that `rows` skipped, what controls did is left out, too.
        model: names the gates.
        policy: how they decide.
        classes: names of the labels. A class without images is left out of `per_class`.
        confidence: of the interval of the flip rate.

    Returns:
        None for a plain model, or where no image was measured.
    """
    if not (model.gates and rows.ok.any()):
        return None
    flips = flip_rates(rows, rows.ok)
    noise = beside.corners
    seen = None if noise is None else noise.ok & ~rows.skipped
    noise_flips = flip_rates(noise, seen) if noise is not None and seen is not None and seen.any() else None
    clean, attacked = rows.gates_clean[rows.ok], rows.gates_adv[rows.ok]
    per_gate = [
        GateShift(
            gate=gate.name,
            rate_clean=float(clean[:, index].mean()),
            rate_adv=float(attacked[:, index].mean()),
            flip_rate=float(flips[index]),
            noise_flip_rate=None if noise_flips is None else float(noise_flips[index]),
        )
        for index, gate in enumerate(model.gates)
    ]
    change = rows.p_adv[rows.ok] - rows.p_clean[rows.ok]
    each = np.asarray((rows.gates_clean ^ rows.gates_adv)[rows.ok].mean(axis=1), np.float64)
    between = mean_interval(each, bounds=(0.0, 1.0), confidence=confidence)
    return Gates(
        flip_rate=float(flips.mean()),
        flip_low=between.low,
        flip_high=between.high,
        noise_flip_rate=None if noise_flips is None else float(noise_flips.mean()),
        shift=float((change**2).sum(axis=1).mean()),
        per_gate=per_gate,
        per_class=_per_class(rows, classes),
        strata=_strata(rows, beside, classes),
        dependence=dependence_of(rows, model, policy) if rows is beside.clean else None,
    )


def dependence_of(rows: Rows, model: ModelRecord, policy: str) -> Dependence | None:
    """Whether the gates decide by the image; None where they can't, or it isn't known.

    Args:
        rows: of the clean images.
        model: names the gates; those that were trained towards 1 are forced open, and left out.
        policy: how they decide.
    """
    p, again = (None if each is None else each[rows.ok] for each in (rows.mean_p_adv, rows.choice_p_adv))
    return dependence_of_network(model, policy, rows.gates_adv[rows.ok], p, again)


def flip_rates(rows: Rows, of: Bools) -> Floats:
    """(G,) share of some images (N,) whose decision changed, with the noise of a draw held equal."""
    flipped = rows.gates_clean ^ rows.gates_adv
    return np.asarray(flipped[of].mean(axis=0), dtype=np.float64)


def _per_class(rows: Rows, classes: list[str]) -> list[ClassShift]:
    shifts = []
    for label in np.unique(rows.label[rows.ok]):
        of_class = rows.ok & (rows.label == label)
        shifts.append(
            ClassShift(
                label=classes[label],
                n=int(of_class.sum()),
                rates_clean=rows.gates_clean[of_class].mean(axis=0).tolist(),
                rates_adv=rows.gates_adv[of_class].mean(axis=0).tolist(),
            )
        )
    return shifts


def _strata(rows: Rows, beside: Beside, classes: list[str]) -> list[GateStratum]:
    """How far gates moved, over all images and by outcome; empty for the clean images themselves.

    Those of each class would be the larger half of a report, and no page shows them: `moved_gates` has them.
    """
    if rows is beside.clean:
        return []
    corners, permuted = (None if one is None else _version(one) for one in (beside.corners, beside.permuted))
    found = moved_gates(rows.label, Versions(_version(beside.clean), _version(rows), corners, permuted), classes)
    return [stratum for stratum in found if stratum.by != "class"]


def _version(rows: Rows) -> Version:
    return Version(rows.ok, rows.prediction, rows.gates_adv, rows.mean_p_adv, rows.choice_p_adv)
