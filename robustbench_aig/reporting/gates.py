"""What the gates did: execution rates, flips and shifts, clean against attacked."""

from __future__ import annotations

import numpy as np

from robustbench_aig.records import ClassShift, Gates, GateShift, ModelRecord
from robustbench_aig.reporting.rows import Bools, Floats, Rows


def gates(rows: Rows, noise: Rows | None, model: ModelRecord, classes: list[str]) -> Gates | None:
    """Summarise the gates of the images that were measured.

    Args:
        rows: of one evaluation of a gated model.
        noise: rows of the random-noise control of the same threat, if it ran; of the images that `rows` skipped its
            flips are left out, too.
        model: names the gates.
        classes: names of the labels. A class without images is left out of `per_class`.

    Returns:
        None for a plain model, or where no image was measured.
    """
    if not (model.gates and rows.ok.any()):
        return None
    flips = flip_rates(rows, rows.ok)
    beside = None if noise is None else noise.ok & ~rows.skipped
    noise_flips = flip_rates(noise, beside) if noise is not None and beside is not None and beside.any() else None
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
    return Gates(
        flip_rate=float(flips.mean()),
        noise_flip_rate=None if noise_flips is None else float(noise_flips.mean()),
        shift=float((change**2).sum(axis=1).mean()),
        per_gate=per_gate,
        per_class=_per_class(rows, classes),
    )


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
