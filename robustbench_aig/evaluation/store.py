"""The report directory while it fills: each finished chunk goes to disk at once, so a kill loses at most one."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import load_file, save
from torch import Tensor, cat

from robustbench_aig.errors import RunError
from robustbench_aig.files import make_folder, write_atomic
from robustbench_aig.records import Plan


@dataclass(frozen=True)
class Store:
    """Reads and writes one report directory.

    While an evaluation is under way its chunks lie in `parts/`; when the last one is there they are merged, sorted
    by image, into `samples/` and `images/`, and removed.

    Attributes:
        directory: the report directory.
    """

    directory: Path

    def open(self, plan: Plan, *, resume: bool) -> None:
        """Begin with a plan, or go on where the same plan was interrupted.

        Raises:
            RunError: the directory holds another plan, or the same one and `resume` is false.
        """
        path = self.directory / "plan.json"
        if path.exists():
            self._refuse_other(path, plan, resume=resume)
        for folder in ("parts", "samples", "images"):
            make_folder(self.directory / folder)
            for leftover in (self.directory / folder).glob(".*"):
                leftover.unlink()  # a kill in mid-write leaves its temporary file
        if path.exists():
            return
        write_atomic(path, plan.model_dump_json(indent=1))

    def _refuse_other(self, path: Path, plan: Plan, *, resume: bool) -> None:
        try:
            before = Plan.model_validate_json(path.read_text(encoding="utf-8"))
        except ValueError:
            raise RunError(f"{path} is damaged: remove {self.directory} or give another --name") from None
        if before.digest != plan.digest:
            changed = ", ".join(_differences(before, plan))
            raise RunError(f"{self.directory} holds another evaluation ({changed} differ): give another --name")
        if not resume:
            raise RunError(
                f"{self.directory} holds this evaluation already: --resume goes on with it, --name keeps it apart"
            )

    def finished(self, evaluation: str) -> bool:
        """Whether an evaluation's sample table is complete."""
        return (self.directory / "samples" / f"{evaluation}.parquet").exists()

    def has(self, evaluation: str, chunk: int) -> bool:
        """Whether a chunk's rows are on disk."""
        return self._part(evaluation, chunk).exists()

    def write(self, evaluation: str, chunk: int, rows: pa.Table, kept: dict[str, Tensor]) -> None:
        """Keep a finished chunk: its images first, since the rows say that it is finished.

        Args:
            evaluation: its id.
            chunk: its number.
            rows: of the sample table.
            kept: "ids" (n,) and "images" (n, C, H, W), on the CPU; n may be 0.
        """
        part = self._part(evaluation, chunk)
        write_atomic(part.with_suffix(".safetensors"), save(kept))
        write_atomic(part, _parquet(rows))

    def merge(self, evaluation: str, chunks: int) -> None:
        """Turn the parts of a complete evaluation into its sample table and its images."""
        parts = [self._part(evaluation, chunk) for chunk in range(chunks)]
        pictures = [load_file(part.with_suffix(".safetensors")) for part in parts]
        merged = {key: cat([picture[key] for picture in pictures]) for key in ("ids", "images")}
        write_atomic(self.directory / "images" / f"{evaluation}.safetensors", save(merged))
        rows = pa.concat_tables([pq.read_table(part) for part in parts]).sort_by("image").combine_chunks()
        write_atomic(self.directory / "samples" / f"{evaluation}.parquet", _parquet(rows))
        for part in parts:
            part.unlink()
            part.with_suffix(".safetensors").unlink()

    def close(self) -> None:
        """Remove what only unfinished work needs."""
        shutil.rmtree(self.directory / "parts", ignore_errors=True)

    def add_time(self, evaluation: str, seconds: float) -> None:
        """Add to the wall time of an evaluation; times are kept apart from rows, which must not depend on them."""
        path = self.directory / "times.json"
        times: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
        times[evaluation] = times.get(evaluation, 0.0) + seconds
        write_atomic(path, json.dumps(times, indent=1, sort_keys=True))

    def _part(self, evaluation: str, chunk: int) -> Path:
        return self.directory / "parts" / f"{evaluation}.{chunk:05d}.parquet"


def _parquet(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer)
    return buffer.getvalue()


def _differences(before: Plan, after: Plan) -> list[str]:
    """The names of the plan's parts that decide its digest and aren't equal."""
    keys = ("seed", "chunk", "draws", "data", "models", "evaluations")
    return [key for key in keys if getattr(before, key) != getattr(after, key)] or ["library versions"]
