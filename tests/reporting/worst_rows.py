"""The row under which an image counts in a union, chosen in plain loops."""

from __future__ import annotations

import numpy as np

from tests.reporting.synthetic import Row, evaluation


def rows_id(model: str, policy: str, attack: str, eps: str | None) -> str:
    return evaluation(model, policy, attack, "attack", eps).id


def choose(rows: dict[str, list[Row]], model: str, policy: str, eps: str) -> list[tuple[str, Row]]:
    """The chosen (attack, row) of every image, by the rule written out."""
    members = [("clean", rows[rows_id(model, policy, "clean", None)])]
    members += [(attack, rows[rows_id(model, policy, attack, eps)]) for attack in ("fgsm", "pgd")]
    chosen = []
    for image in range(len(members[0][1])):
        best: tuple[str, Row] | None = None
        for attack, mine in members:
            row = mine[image]
            key = (row["choice_correct"] / row["choice_draws"], np.float32(row["choice_margin"]))
            if best is None or key < (
                best[1]["choice_correct"] / best[1]["choice_draws"],
                np.float32(best[1]["choice_margin"]),
            ):
                best = (attack, row)
        assert best is not None
        chosen.append(best)
    return chosen
