"""Reads a report directory: plan, sample tables, times, images. Damage is told in one line, with a way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from robustbench_aig.errors import DamagedError, RunError, first_line
from robustbench_aig.manifest import Manifest, way_out
from robustbench_aig.records import Checkup, EvaluationPlan, Latency, ModelRecord, Pace, Plan
from robustbench_aig.records.documents import parse_json, parse_plan
from robustbench_aig.reporting.table_columns import Ints, Rows
from robustbench_aig.reporting.table_reader import SampleTables
from robustbench_aig.sample_table import NAME, NAMES, images_of, read_parquet

T = TypeVar("T")
_PACES = TypeAdapter(dict[str, Pace])

CHECKS = "checks"
"""The folder of a report directory that holds a checkup for each network and policy."""


@dataclass(frozen=True)
class Evidence:
    """All that the numbers of a report are made from.

    Attributes:
        plan: what was to be measured.
        rows: evaluation id -> its rows; unfinished ones are absent. Hold few at once: a report may have millions.
        seconds: evaluation id -> wall time.
        latency: evaluation id -> what was measured with a clock; not every evaluation has it.
        pace: the same, of clean evaluations of gated networks, beside a plain one.
        checks: what `aigrob check --into` has found of its networks.
        names: image -> its file's name; empty where images have none, or an early version wrote.
        alone: whether all of it is what a report says, which came without its evidence.
        rows_digest: as the manifest has it; None where there is none, so that nothing could be verified.
    """

    plan: Plan
    rows: Mapping[str, Rows]
    seconds: dict[str, float]
    latency: dict[str, Latency]
    pace: dict[str, Pace] = field(default_factory=dict)
    checks: list[Checkup] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    alone: bool = False
    rows_digest: str | None = None

    def model(self, name: str) -> ModelRecord:
        """The model of that name."""
        return next(model for model in self.plan.models if model.name == name)

    def clean(self, model: str, policy: str) -> Rows | None:
        """The clean rows of a model under a policy; None while unfinished."""
        found = self._clean_id(model, policy)
        return None if found is None else self.rows[found]

    def control(self, beside: EvaluationPlan, algorithm: str) -> Rows | None:
        """Rows of the first control of that algorithm, of the same model, policy and threat; None where none ran."""
        same = (beside.model, beside.policy, beside.threat)
        return next(
            (
                self.rows[e.id]
                for e in self.finished()
                if (e.model, e.policy, e.threat) == same and e.algorithm == algorithm
            ),
            None,
        )

    def finished(self) -> list[EvaluationPlan]:
        """Evaluations, in the plan's order, whose rows and whose clean rows are there."""
        clean = {(e.model, e.policy): self._clean_id(e.model, e.policy) for e in self.plan.evaluations}
        return [e for e in self.plan.evaluations if e.id in self.rows and clean[e.model, e.policy] is not None]

    def _clean_id(self, model: str, policy: str) -> str | None:
        ids = (e.id for e in self.plan.evaluations if (e.model, e.policy, e.role) == (model, policy, "clean"))
        return next((one for one in ids if one in self.rows), None)


@dataclass(frozen=True)
class Images:
    """Some images of one evaluation.

    Attributes:
        ids: (N,) index in the split.
        pixels: (N, C, H, W) float32 in [0, 1].
    """

    ids: Ints
    pixels: NDArray[np.float32]

    def positions(self, wanted: Ints) -> Ints:
        """(M,) where the images of these ids are; each must be there."""
        order = np.argsort(self.ids)
        return np.asarray(order[np.searchsorted(self.ids, wanted, sorter=order)])


def load_plan(directory: Path) -> Plan:
    """Read `plan.json`.

    Raises:
        RunError: if it is missing, no JSON, or written by a newer version.
    """
    path = directory / "plan.json"
    if not path.is_file():
        raise RunError(f"{directory} is no report directory (it has no plan.json): name one that `attack` wrote")
    plan = parse_plan(Manifest.of(directory).read(path.name), path)
    _check_plan(plan, path)
    return plan


def load_evidence(directory: Path) -> Evidence:
    """Read the plan and all that is small; sample tables are read when they are asked for.

    Raises:
        RunError: naming the first damaged file and the way out; who asks for a damaged table gets one, too.
    """
    plan, manifest = load_plan(directory), Manifest.of(directory)
    # Without its table an evaluation counts as unfinished, and from images no number is made.
    if gone := [name for name in manifest.missing() if not name.startswith(("samples/", "images/"))]:
        raise DamagedError(f"{directory / gone[0]} is missing", way_out(gone[0]))
    return Evidence(
        plan,
        SampleTables(manifest, plan),
        _load_times(manifest, "times.json", TypeAdapter(dict[str, float]), "seconds"),
        _load_times(manifest, "latency.json", TypeAdapter(dict[str, Latency]), "latency"),
        _load_times(manifest, "pace.json", _PACES, "pace"),
        _load_checks(manifest),
        _load_names(manifest),
        rows_digest=manifest.rows_digest,
    )


def _load_names(manifest: Manifest) -> dict[int, str]:
    """The names of the images' files, by image; empty where none were kept. RunError where the table is damaged."""
    path = manifest.directory / NAMES
    if not path.is_file():
        return {}
    table = read_parquet(manifest.read(NAMES), path, schema=NAME)
    return dict(zip(table["image"].to_pylist(), table["name"].to_pylist(), strict=True))


def load_paces(directory: Path) -> dict[str, Pace]:
    """What is known of gated networks beside plain ones, by evaluation; RunError where it's damaged."""
    return _load_times(Manifest.of(directory), "pace.json", _PACES, "pace")


def load_images(directory: Path, evaluation_id: str, shape: Sequence[int]) -> Images | None:
    """The kept images of an evaluation; None if none were kept.

    Args:
        directory: of the report.
        evaluation_id: in its plan.
        shape: (C, H, W) of the plan's images.

    Raises:
        RunError: if the file is damaged, or holds images of another shape.
    """
    name = images_of(evaluation_id)
    path = directory / name
    if not path.is_file():
        return None
    try:
        tensors = load(Manifest.of(directory).read(name))
        ids, pixels = tensors["ids"].astype(np.int64), tensors["images"].astype(np.float32)
    except (SafetensorError, KeyError) as error:
        raise RunError(f"{path}: cannot be read ({first_line(error)}): delete it, or attack again") from None
    if pixels.shape != (ids.size, *shape) or ids.ndim != 1:
        raise RunError(f"{path} does not hold images of shape {'x'.join(map(str, shape))}: delete it, or attack again")
    return Images(ids, pixels)


def _load_times(manifest: Manifest, name: str, adapter: TypeAdapter[dict[str, T]], what: str) -> dict[str, T]:
    path = manifest.directory / name
    if not path.is_file():
        return {}
    try:
        return adapter.validate_python(parse_json(manifest.read(name), path))
    except ValidationError:
        raise RunError(f"{path}: is not a map from evaluation to {what}: delete it") from None


def _load_checks(manifest: Manifest) -> list[Checkup]:
    """In the order of their names; a checkup that can't be read may not vanish, for it may have failed."""
    found = []
    for path in sorted((manifest.directory / CHECKS).glob("*.json")):
        try:
            found.append(Checkup.model_validate(parse_json(manifest.read(f"{CHECKS}/{path.name}"), path)))
        except ValidationError:
            raise RunError(f"{path}: is no checkup of this version: delete it, and check again") from None
    return found


def _check_plan(plan: Plan, path: Path) -> None:
    models = {model.name for model in plan.models}
    ids = [evaluation.id for evaluation in plan.evaluations]
    if len(set(ids)) < len(ids):
        raise RunError(f"{path}: two evaluations share an id: attack again")
    for evaluation in plan.evaluations:
        if evaluation.model not in models:
            raise RunError(f"{path}: {evaluation.id} names the unknown model '{evaluation.model}'")
        beside = {"threat": evaluation.threat, "corruption": evaluation.corruption}
        expected = {"clean": [], "corruption": ["corruption"]}.get(evaluation.role, ["threat"])
        if [name for name, value in beside.items() if value is not None] != expected:
            needs = " and ".join(expected) or "neither threat nor corruption"
            raise RunError(f"{path}: {evaluation.id} has the role '{evaluation.role}' and must have {needs}")
