"""From a judged chunk to rows of the sample table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from robustbench_aig.attacks import Attacked
from robustbench_aig.evaluation.judge import Judgement
from robustbench_aig.records import ROW, EvaluationPlan


def make_rows(
    plan: EvaluationPlan,
    *,
    chunk: int,
    ids: Tensor,
    labels: Tensor,
    images: Tensor,
    clean: Judgement,
    judged: Judgement,
    attacked: Attacked | None,
    clean_images: Tensor,
) -> pa.Table:
    """One row per image of a chunk.

    Args:
        plan: which evaluation the chunk belongs to.
        chunk: its number.
        ids: (B,) image ids.
        labels: (B,).
        images: (B, C, H, W) as judged.
        clean: verdicts on the unattacked images.
        judged: verdicts on `images`.
        attacked: what the attack reported; None for the clean evaluation.
        clean_images: (B, C, H, W) before the attack.
    """
    size = len(ids)
    failed = ~judged.finite | ~clean.finite
    if attacked is not None:
        failed = failed | attacked.failed
    bad = _numpy(failed)
    delta = (images - clean_images).flatten(1)
    threat = plan.threat
    columns: dict[str, object] = {
        "image": _numpy(ids),
        "label": _numpy(labels),
        "model": [plan.model] * size,
        "policy": [plan.policy] * size,
        "attack": [plan.attack] * size,
        "threat": [str(threat) if threat else "none"] * size,
        "chunk": np.full(size, chunk),
        "status": np.where(bad, "error", "ok"),
        "lost_to": pa.nulls(size, pa.string()),
        "prediction": np.where(bad, -1, _numpy(judged.predictions)),
        "margin": _or_nan(judged.margins, bad),
        "linf": _or_nan(delta.abs().amax(1), bad),
        "l2": _or_nan(delta.norm(dim=1), bad),
        "draws": np.full(size, judged.draws),
        "correct_draws": np.where(bad, 0, _numpy(judged.correct)),
        "choice_draws": np.full(size, judged.draws),
        "choice_correct": np.where(bad, 0, _numpy(judged.choice_correct)),
        "choice_margin": _or_nan(judged.choice_margins, bad),
        "gates_clean": _packed(clean.decisions),
        "gates_adv": _packed(judged.decisions),
        "p_clean": _lists(clean.probabilities),
        "p_adv": _lists(judged.probabilities),
        "macs_clean": _numpy(clean.macs),
        "macs_adv": _numpy(judged.macs),
        "forwards": np.full(size, attacked.forwards if attacked else 0.0),
        "backwards": np.full(size, attacked.backwards if attacked else 0.0),
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in ROW], schema=ROW)


def _numpy(values: Tensor) -> NDArray[np.generic]:
    array: NDArray[np.generic] = values.detach().cpu().numpy()
    return array


def _or_nan(values: Tensor, bad: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.where(bad, np.float32(np.nan), _numpy(values))


def _packed(decisions: Tensor) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(_numpy(decisions).astype(np.bool_), axis=1)]


def _lists(probabilities: Tensor) -> pa.Array:
    values = _numpy(probabilities).astype(np.float16)
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel(), pa.float16()))
