"""The sample tables of a report directory, one at a time: a report may have more rows than fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from robustbench_aig.errors import DamagedError, RunError
from robustbench_aig.manifest import Manifest
from robustbench_aig.records import EvaluationPlan, Plan
from robustbench_aig.reporting.table_columns import Ints, Rows
from robustbench_aig.sample_table import read_parquet, table_of

KEPT_BYTES = 128 * 2**20
"""Memory for tables that were read; beyond it the one that was asked for longest ago is read again."""


class SampleTables(Mapping[str, Rows]):
    """Evaluation id -> its rows, for the evaluations whose table was there at the start; in the plan's order.

    A table is read and checked when it's asked for.

    Args:
        manifest: of the report's directory.
        plan: of the report.

    Raises:
        RunError: when a table is asked for that is damaged or foreign, with the way out.
    """

    def __init__(self, manifest: Manifest, plan: Plan) -> None:
        self._manifest, self._plan = manifest, plan
        self._evaluations = {e.id: e for e in plan.evaluations if (manifest.directory / table_of(e.id)).is_file()}
        self._kept: dict[str, Rows] = {}
        self._images: tuple[str, Ints, Ints] | None = None

    def __getitem__(self, name: str) -> Rows:
        """The rows of an evaluation; KeyError where it's unfinished."""
        rows = self._kept.pop(name, None) or self._read(self._evaluations[name])
        self._kept[name] = rows
        self._forget()
        return rows

    def __contains__(self, name: object) -> bool:
        """Whether an evaluation is finished; reads nothing."""
        return name in self._evaluations

    def __iter__(self) -> Iterator[str]:
        """The finished evaluations."""
        return iter(self._evaluations)

    def __len__(self) -> int:
        """How many are finished."""
        return len(self._evaluations)

    def _forget(self) -> None:
        """Keep no more than there is memory for, but the last one always."""
        used = sum(rows.nbytes for rows in self._kept.values())
        while used > KEPT_BYTES and len(self._kept) > 1:
            used -= self._kept.pop(next(iter(self._kept))).nbytes

    def _read(self, evaluation: EvaluationPlan) -> Rows:
        rows, lost_to = _load_rows(self._manifest, evaluation, self._plan)
        self._check_lost(evaluation, rows, lost_to)
        first, image, label = self._images = self._images or (evaluation.id, rows.image, rows.label)
        if not (np.array_equal(rows.image, image) and np.array_equal(rows.label, label)):
            both = f"{first} and {evaluation.id} hold different images"
            raise RunError(f"{self._manifest.directory}: {both}: attack again from scratch")
        return rows

    def _check_lost(self, evaluation: EvaluationPlan, rows: Rows, lost_to: NDArray[np.object_]) -> None:
        """What a cascade skipped is lost in the table of the attack that it was lost to."""
        for name in set(lost_to[rows.skipped]):
            role = "clean" if name == "clean" else "attack"
            of_same = (e for e in self if (o := self._evaluations[e]).role == role and o.attack == name)
            found = next((e for e in of_same if _beside(self._evaluations[e], evaluation)), None)
            other = None if found is None else self[found]
            mine = rows.skipped & (lost_to == name)
            if other is None or (other.ok & ~(other.choice_score == 0))[mine].any():
                table = self._manifest.directory / table_of(evaluation.id)
                raise DamagedError(f"{table} skips images as lost to {name}, whose rows do not say so")


def _beside(one: EvaluationPlan, other: EvaluationPlan) -> bool:
    """Whether they are of the same network, and at the same threat where both have one."""
    same = (one.model, one.policy) == (other.model, other.policy)
    return same and (one.threat is None or one.threat == other.threat)


def _load_rows(manifest: Manifest, evaluation: EvaluationPlan, plan: Plan) -> tuple[Rows, NDArray[np.object_]]:
    """The rows, and the attack that each skipped one was lost to."""
    model = next(model for model in plan.models if model.name == evaluation.model)
    name = table_of(evaluation.id)
    path, content = manifest.directory / name, manifest.read(name)
    table = read_parquet(content, path)
    try:
        _check_size(table, plan)
        rows = Rows.of(table, evaluation, len(model.gates), counted=model.macs_unknown is None)
        _check_skipped(rows, evaluation, plan)
    except RunError as error:
        raise RunError(f"{path}: {error}") from None
    return rows, table["lost_to"].to_numpy()


def _check_skipped(rows: Rows, evaluation: EvaluationPlan, plan: Plan) -> None:
    if rows.skipped.any() and not (plan.cascade and evaluation.role == "attack"):
        raise RunError("has skipped images, which only attacks of a cascade may have: attack again")


def _check_size(table: pa.Table, plan: Plan) -> None:
    if table.num_rows != plan.data.n:
        raise RunError(f"has {table.num_rows} rows for {plan.data.n} images: delete it and use --resume")
    labels = set(table["label"].unique().to_pylist()) if "label" in table.column_names else set()
    if not labels <= set(range(len(plan.data.classes))):
        raise RunError("has labels beyond the plan's classes: the file is from another data set")
