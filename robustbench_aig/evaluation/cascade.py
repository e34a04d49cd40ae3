"""The cascade: which images an attack need not touch, because they are lost already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from robustbench_aig.records import EXACT, EvaluationPlan, Plan

if TYPE_CHECKING:  # the store mends directories by this rule
    from robustbench_aig.evaluation.store import Store


def lost_before(evaluation: EvaluationPlan, chunk: int, plan: Plan, store: Store) -> dict[int, str]:
    """The images of a chunk that a cascade skips, each with the attack that it was lost to ("clean": to none).

    An image is lost where no draw of an earlier row is right: for random gates no draw of those kept for choosing,
    since an image that was skipped for bad luck in its scoring draws would be scored by that same bad luck (the
    winner's curse). Where all is exact, no pattern of the gates is right. An error counts as misclassified, as it
    does in the union. Only attacks skip, and only attacks and the clean image are looked at: controls and attacks on
    the compute measure something else.

    Args:
        evaluation: about to be measured.
        chunk: its number.
        plan: that it belongs to.
        store: holds the same chunk of all that comes before it in the plan.
    """
    lost: dict[int, str] = {}
    for before in earlier(evaluation, plan):
        columns = ["image", "choice_correct", *(["p_correct"] if plan.draws == EXACT else [])]
        rows = store.rows(before.id, chunk, columns)
        wrong = pc.field("choice_correct") == 0
        if plan.draws == EXACT:
            wrong = wrong & (pc.field("p_correct").is_null() | (pc.field("p_correct") == 0))
        for image in rows.filter(wrong)["image"].to_pylist():
            lost.setdefault(image, before.attack)
    return lost


def earlier(evaluation: EvaluationPlan, plan: Plan) -> Iterator[EvaluationPlan]:
    """Those whose losses an evaluation skips: the clean images, then the attacks before it at the same threat."""
    if not (plan.cascade and evaluation.role == "attack"):
        return
    for e in plan.evaluations:
        if e.id == evaluation.id:
            return
        same = (e.model, e.policy) == (evaluation.model, evaluation.policy)
        if same and (e.role == "clean" or (e.role == "attack" and e.threat == evaluation.threat)):
            yield e
