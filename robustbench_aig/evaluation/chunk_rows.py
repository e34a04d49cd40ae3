"""From a measured chunk to rows of the sample table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from robustbench_aig.evaluation.chunks import Images
from robustbench_aig.evaluation.judge import Judgement
from robustbench_aig.evaluation.oom_batches import Measured
from robustbench_aig.records import EvaluationPlan
from robustbench_aig.sample_table import ROW


def make_rows(plan: EvaluationPlan, *, chunk: int, images: Images, clean: Judgement, measured: Measured) -> pa.Table:
    """One row per image that was measured.

    Args:
        plan: which evaluation the images belong to.
        chunk: the number of their chunk.
        images: B of them, clean.
        clean: verdicts on them.
        measured: what came of them under attack.
    """
    judged = measured.judged
    bad = _numpy(measured.failed | ~judged.finite | ~clean.finite)
    delta = (measured.images - images.pixels).flatten(1)
    return _table(
        _identity(plan, chunk, images)
        | {
            "status": np.where(bad, "error", "ok"),
            "lost_to": pa.nulls(len(images), pa.string()),
            "prediction": np.where(bad, -1, _numpy(judged.predictions)),
            "margin": _or_nan(judged.margins, bad),
            "linf": _or_nan(delta.abs().amax(1), bad),
            "l2": _or_nan(delta.norm(dim=1), bad),
            "draws": np.full(len(images), judged.draws),
            "correct_draws": np.where(bad, 0, _numpy(judged.correct)),
            "choice_draws": np.full(len(images), judged.draws),
            "choice_correct": np.where(bad, 0, _numpy(judged.choice_correct)),
            "choice_margin": _or_nan(judged.choice_margins, bad),
            "gates_clean": _packed(clean.decisions),
            "gates_adv": _packed(judged.decisions),
            "p_clean": _lists(clean.probabilities),
            "p_adv": _lists(judged.probabilities),
            "macs_clean": _numpy(clean.macs),
            "macs_adv": _numpy(judged.macs),
            "forwards": _numpy(measured.forwards),
            "backwards": _numpy(measured.backwards),
            "batch": _numpy(measured.batch),
            "mean_p_adv": _lists(judged.mean_probabilities),
            "choice_p_adv": _lists(judged.choice_probabilities),
            "p_correct": _exact(judged, bad),
        }
    )


def skipped_rows(plan: EvaluationPlan, *, chunk: int, images: Images, lost_to: Sequence[str], draws: int) -> pa.Table:
    """One row per image that was skipped; nothing in it can be taken for a measurement.

    As for an error, whoever averages right draws over all rows counts the image as lost.

    Args:
        plan: which evaluation the images belong to.
        chunk: the number of their chunk.
        images: B of them.
        lost_to: for each the attack that it was lost to.
        draws: that a measured image has.
    """
    size = len(images)
    nothing, zero = np.full(size, np.nan), np.zeros(size)
    empty = pa.array([[]] * size, pa.list_(pa.float16()))
    return _table(
        _identity(plan, chunk, images)
        | {
            "status": ["skipped"] * size,
            "lost_to": list(lost_to),
            "prediction": zero - 1,
            "margin": nothing,
            "linf": nothing,
            "l2": nothing,
            "draws": zero + draws,
            "correct_draws": zero,
            "choice_draws": zero + draws,
            "choice_correct": zero,
            "choice_margin": nothing,
            "gates_clean": [b""] * size,
            "gates_adv": [b""] * size,
            "p_clean": empty,
            "p_adv": empty,
            "macs_clean": nothing,
            "macs_adv": nothing,
            "forwards": zero,
            "backwards": zero,
            "batch": zero,
            "mean_p_adv": empty,
            "choice_p_adv": empty,
            "p_correct": pa.nulls(size, pa.float64()) if draws else zero,
        }
    )


def _identity(plan: EvaluationPlan, chunk: int, images: Images) -> dict[str, object]:
    size = len(images)
    return {
        "image": _numpy(images.ids),
        "label": _numpy(images.labels),
        "model": [plan.model] * size,
        "policy": [plan.policy] * size,
        "attack": [plan.attack] * size,
        "threat": [str(plan.threat or plan.corruption or "none")] * size,
        "chunk": np.full(size, chunk),
    }


def _table(columns: Mapping[str, object]) -> pa.Table:
    return pa.table([pa.array(columns[field.name], field.type) for field in ROW], schema=ROW)


def _numpy(values: Tensor) -> NDArray[np.generic]:
    array: NDArray[np.generic] = values.detach().cpu().numpy()
    return array


def _or_nan(values: Tensor, bad: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.where(bad, np.float32(np.nan), _numpy(values))


def _exact(judged: Judgement, bad: NDArray[np.generic]) -> pa.Array:
    """The probability of a right answer where it's exact; 0 for an error, as of its draws none is right."""
    if judged.probability is None:
        return pa.nulls(len(bad), pa.float64())
    return pa.array(np.where(bad, 0.0, _numpy(judged.probability)))


def _packed(decisions: Tensor) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(_numpy(decisions).astype(np.bool_), axis=1)]


def _lists(probabilities: Tensor) -> pa.Array:
    values = _numpy(probabilities).astype(np.float16)
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel(), pa.float16()))
