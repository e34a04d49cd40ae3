"""The rows of one evaluation as columns: what `samples/<evaluation>.parquet` holds, checked and unpacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from robustbench_aig.errors import RunError
from robustbench_aig.records import EvaluationPlan
from robustbench_aig.sample_table import ROW, ROW_DEFAULTS, RowStatus

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FINITE = ("margin", "linf", "l2", "choice_margin", "macs_clean", "macs_adv", "forwards", "backwards")


@dataclass(frozen=True)
class Rows:
    """The columns of `samples.ROW` over N images and G gates (0 for a plain model).

    Where `ok` is False nothing was measured: only image, label, ok and skipped mean anything.

    Attributes:
        image: (N,) index in the split, ascending.
        label: (N,) true class.
        ok: (N,) whether the image was measured.
        skipped: (N,) whether it was lost before and so not attacked; what is neither ok nor skipped has failed.
        prediction: (N,) plurality class.
        linf, l2: (N,) measured size of the change.
        draws, correct: (N,) scoring draws, and how many were right; 0 of 0 where all is exact.
        choice_score, choice_margin: (N,) share of right answers and margin on the draws kept for choosing; where all
            is exact, the probability of a right answer and the expected margin.
        gates_clean, gates_adv: (N, G) decisions; True = the block ran.
        p_clean, p_adv: (N, G) open probabilities.
        macs_clean, macs_adv: (N,) executed multiply-accumulates; NaN where the network's aren't known.
        forwards, backwards: (N,) passes the attack spent.
        mean_p_adv: (N, G) open probabilities of the attacked image, mean over scoring draws; None where not recorded.
        choice_p_adv: (N, G) the same over the draws kept for choosing.
        p_correct: (N,) exact probability of a right answer; NaN where draws were counted.
    """

    image: Ints
    label: Ints
    ok: Bools
    skipped: Bools
    prediction: Ints
    linf: Floats
    l2: Floats
    draws: Ints
    correct: Ints
    choice_score: Floats
    choice_margin: Floats
    gates_clean: Bools
    gates_adv: Bools
    p_clean: Floats
    p_adv: Floats
    macs_clean: Floats
    macs_adv: Floats
    forwards: Floats
    backwards: Floats
    mean_p_adv: Floats | None
    choice_p_adv: Floats | None
    p_correct: Floats

    @classmethod
    def of(cls, table: pa.Table, evaluation: EvaluationPlan, gates: int, *, counted: bool = True) -> Rows:
        """Unpack and check a pyarrow table of `samples.ROW`; MACs are only numbers where they were counted.

        Raises:
            RunError: saying in what the rows differ from the contract or from the plan.
        """
        table = with_defaults(table)
        _check_identity(table, evaluation)
        column = {name: table[name].combine_chunks() for name in ROW.names}
        ok, skipped = _statuses(column["status"])
        numbers = {
            name: column[name].to_numpy().astype(np.float64 if name in _FINITE else np.int64)
            for name in ROW.names
            if not (pa.types.is_nested(ROW.field(name).type) or _is_text(ROW.field(name).type)) and name != "p_correct"
        }
        numbers["p_correct"] = column["p_correct"].to_numpy(zero_copy_only=False)
        _check_numbers(numbers, ok, [name for name in _FINITE if counted or not name.startswith("macs_")])
        return cls(
            image=numbers["image"],
            label=numbers["label"],
            ok=ok,
            skipped=skipped,
            prediction=numbers["prediction"],
            linf=numbers["linf"],
            l2=numbers["l2"],
            draws=numbers["draws"],
            correct=numbers["correct_draws"],
            choice_score=np.where(
                numbers["draws"] == 0,
                numbers["p_correct"],
                numbers["choice_correct"] / np.maximum(numbers["choice_draws"], 1),
            ),
            choice_margin=numbers["choice_margin"],
            gates_clean=_decisions(column["gates_clean"], gates, ok),
            gates_adv=_decisions(column["gates_adv"], gates, ok),
            p_clean=_probabilities(column["p_clean"], gates, ok),
            p_adv=_probabilities(column["p_adv"], gates, ok),
            macs_clean=numbers["macs_clean"],
            macs_adv=numbers["macs_adv"],
            forwards=numbers["forwards"],
            backwards=numbers["backwards"],
            mean_p_adv=_if_recorded(column["mean_p_adv"], gates, ok),
            choice_p_adv=_if_recorded(column["choice_p_adv"], gates, ok),
            p_correct=numbers["p_correct"],
        )

    def without_gates(self) -> Rows:
        """The same of a model without gates: for who needs many evaluations at once, and of their scores alone."""
        none = np.zeros((self.image.size, 0))
        closed = none.astype(np.bool_)
        return replace(
            self, gates_clean=closed, gates_adv=closed, p_clean=none, p_adv=none, mean_p_adv=None, choice_p_adv=None
        )

    @property
    def broken(self) -> Bools:
        """(N,) whether the image was measured, and lost on most of the draws kept for choosing.

        One on which an attack failed counts as misclassified, but that is no evidence that the attack breaks it.
        """
        return np.asarray(self.ok & (self.choice_score < 0.5), np.bool_)

    @property
    def nbytes(self) -> int:
        """Memory that the columns take."""
        columns = (getattr(self, field.name) for field in fields(self))
        return sum(column.nbytes for column in columns if column is not None)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def with_defaults(table: pa.Table) -> pa.Table:
    """With the columns that an earlier version did not write, in their places."""
    for place, field in enumerate(ROW):
        if field.name in ROW_DEFAULTS and field.name not in table.column_names:
            value = pa.scalar(ROW_DEFAULTS[field.name], field.type)
            table = table.add_column(min(place, table.num_columns), field, pa.repeat(value, table.num_rows))
    return table


def _check_identity(table: pa.Table, evaluation: EvaluationPlan) -> None:
    if not table.schema.equals(ROW):
        raise RunError("has other columns than this version's sample table: attack again with this version")
    expected = {
        "model": evaluation.model,
        "policy": evaluation.policy,
        "attack": evaluation.attack,
        "threat": str(evaluation.threat or evaluation.corruption or "none"),
    }
    for name, value in expected.items():
        found = table[name].unique().to_pylist()
        if found != [value]:
            raise RunError(f"holds {name} {found}, the plan says '{value}': the file is from another run")


def _statuses(status: pa.Array) -> tuple[Bools, Bools]:
    """Which images are ok, and which were skipped."""
    unknown = set(status.unique().to_pylist()) - set(get_args(RowStatus))
    if unknown:
        raise RunError(f"has rows with status {sorted(unknown)}, which this version cannot count: attack again")
    values = status.to_numpy(zero_copy_only=False)
    return np.asarray(values == "ok", np.bool_), np.asarray(values == "skipped", np.bool_)


def _check_numbers(numbers: dict[str, NDArray[Any]], ok: Bools, finite: Sequence[str]) -> None:
    if (np.diff(numbers["image"]) <= 0).any():
        raise RunError("is not sorted by image, or holds an image twice: attack again")
    for name in finite:
        if not np.isfinite(numbers[name][ok]).all():
            raise RunError(f"has {name} that is not a number in rows with status ok: attack again")
    exact = (numbers["p_correct"] >= 0) & (numbers["p_correct"] <= 1)
    for draws, correct in (("draws", "correct_draws"), ("choice_draws", "choice_correct")):
        if ((numbers[draws] < 1) != exact)[ok].any() or (numbers[correct] > numbers[draws]).any():
            raise RunError(f"has rows whose {correct} does not fit {draws} >= 1: attack again")
    if numbers["correct_draws"][~ok].any() or numbers["choice_correct"][~ok].any():
        raise RunError("counts images as right that failed or were skipped: attack again")


def _decisions(column: pa.Array, gates: int, ok: Bools) -> Bools:
    """Those of rows that are ok; the others, which may hold nothing, become closed gates."""
    kept = column.filter(pa.array(ok))
    width = (gates + 7) // 8
    if (pc.binary_length(kept).to_numpy() != width).any():
        raise RunError("has gate decisions that do not fit the model's gates: the file is from another model")
    packed = np.frombuffer(b"".join(kept.to_pylist()), np.uint8).reshape(len(kept), width)
    out = np.zeros((ok.size, gates), np.bool_)
    out[ok] = np.unpackbits(packed, axis=1, count=gates)
    return out


def _probabilities(column: pa.Array, gates: int, ok: Bools) -> Floats:
    kept = column.filter(pa.array(ok))
    lengths = kept.value_lengths().to_numpy()
    if (lengths != gates).any():
        raise RunError("has gate probabilities that do not fit the model's gates: the file is from another model")
    out = np.zeros((ok.size, gates))
    out[ok] = kept.flatten().to_numpy().reshape(int(ok.sum()), gates)
    if not ((out >= 0) & (out <= 1)).all():
        raise RunError("has gate probabilities that do not lie between 0 and 1: attack again")
    return out


def _if_recorded(column: pa.Array, gates: int, ok: Bools) -> Floats | None:
    """Probabilities; None in a table that was written before they were kept."""
    empty = not column.value_lengths().to_numpy().any()
    return None if gates and ok.any() and empty else _probabilities(column, gates, ok)
