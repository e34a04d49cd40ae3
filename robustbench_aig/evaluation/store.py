"""The report directory while it fills: each finished chunk goes to disk at once, so a kill loses at most one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from safetensors.torch import save
from torch import Tensor, cat

from robustbench_aig.errors import RunError
from robustbench_aig.evaluation.chunks import Images
from robustbench_aig.evaluation.plan_differences import differences
from robustbench_aig.files import make_folder, make_own_folder, remove_partial, write_atomic
from robustbench_aig.locks import give_back, refuse_held, take
from robustbench_aig.models.state import read_safetensors
from robustbench_aig.records import Plan
from robustbench_aig.records.documents import read_plan
from robustbench_aig.sample_table import NAME, NAMES, parquet


@dataclass(frozen=True)
class Effort:
    """What a chunk cost and how it went; kept apart from its rows, which must not depend on it.

    Attributes:
        seconds: that its process worked on it.
        short: images that fit into memory at once, where not all of them did; else None.
        reason: why images of it ended as errors; None where none did.
    """

    seconds: float
    short: int | None
    reason: str | None


@dataclass
class Store:
    """Reads and writes one report directory.

    While an evaluation is under way its chunks lie in `parts/`; when the last one is there they are merged, sorted
    by image, into `samples/` and `images/`, and removed. Several processes may write chunks, each its own; one alone
    opens, merges and closes.

    Attributes:
        directory: the report directory.
    """

    directory: Path
    _lock: FileLock | None = field(default=None, init=False, repr=False, compare=False)

    def check(self, plan: Plan, *, resume: bool) -> None:
        """Refuse a directory that cannot be written this plan into; change nothing.

        Raises:
            RunError: the directory holds another plan, or the same one and `resume` is false.
        """
        path = self.directory / "plan.json"
        if not path.exists():
            return
        try:
            before = read_plan(path)
        except RunError as error:
            raise RunError(f"{error}; remove {self.directory}, or give another --name") from None
        if before.digest != plan.digest or not resume:
            refuse_held(self.directory)
        if before.digest != plan.digest:
            changed = ", ".join(differences(before, plan))
            raise RunError(f"{self.directory} holds another evaluation (other {changed}): give another --name")
        if not resume:
            raise RunError(
                f"{self.directory} already contains this evaluation: --resume continues it, --name starts another"
            )

    def open(self, plan: Plan, *, resume: bool) -> None:
        """Begin with a plan, or go on where the same plan was interrupted; the directory is ours until `give_back`.

        Raises:
            RunError: as `check` says; or another process is writing there.
        """
        self.check(plan, resume=resume)
        make_folder(self.directory)
        self._lock = take(self.directory)
        with self.held_if_well():
            self.check(plan, resume=resume)  # another one may have been here meanwhile
            for folder in ("parts", "samples", "images"):
                make_own_folder(self.directory / folder)
                remove_partial(self.directory / folder)
            remove_partial(self.directory)
            path = self.directory / "plan.json"
            if not path.exists():
                write_atomic(path, plan.model_dump_json(indent=1))

    @contextmanager
    def held_if_well(self) -> Iterator[None]:
        """The directory stays ours after the block, unless it fails or is left."""
        try:
            yield
        except BaseException:
            self.give_back()
            raise

    def keep_names(self, images: Images) -> None:
        """Keep the names of the images' files, where they have any, once for all sample tables."""
        if images.names:
            columns = {"image": images.ids.cpu().numpy(), "name": list(images.names)}
            write_atomic(self.directory / NAMES, parquet(pa.table(columns, NAME).sort_by("image")))

    def join(self, plan: Plan) -> None:
        """Take part in what another process has opened.

        Raises:
            RunError: it was opened elsewhere, or with another plan.
        """
        if not (self.directory / "plan.json").exists():
            raise RunError(
                f"{self.directory} is not the folder that the leading process writes: --out must name one that all "
                "machines share"
            )
        self.check(plan, resume=True)

    def finished(self, evaluation: str) -> bool:
        """Whether an evaluation's sample table is complete."""
        return self._samples(evaluation).exists()

    def has(self, evaluation: str, chunk: int) -> bool:
        """Whether a chunk's rows are on disk."""
        # In this order, because another process may be merging: the part is there until the table is.
        return self._part(evaluation, chunk).exists() or self.finished(evaluation)

    def parts(self) -> dict[str, set[int]]:
        """By evaluation the numbers of the chunks that lie there unmerged, whichever process wrote them."""
        found: dict[str, set[int]] = defaultdict(set)
        for path in (self.directory / "parts").glob("*.parquet"):
            evaluation, _, chunk = path.stem.rpartition(".")
            found[evaluation].add(int(chunk))
        return found

    def rows(self, evaluation: str, chunk: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of a finished chunk, merged or not."""
        try:
            return pq.read_table(self._part(evaluation, chunk), columns=list(columns))
        except FileNotFoundError:
            return pq.read_table(self._samples(evaluation), columns=list(columns), filters=[("chunk", "==", chunk)])

    def effort(self, evaluation: str, chunk: int) -> Effort:
        """What an unmerged chunk cost."""
        return Effort(**json.loads(self._part(evaluation, chunk).with_suffix(".json").read_text()))

    def write(self, evaluation: str, chunk: int, rows: pa.Table, kept: dict[str, Tensor], effort: Effort) -> None:
        """Keep a finished chunk: its rows last, since they say that it is finished.

        Args:
            evaluation: its id.
            chunk: its number.
            rows: of the sample table.
            kept: "ids" (n,) and "images" (n, C, H, W), on the CPU; n may be 0.
            effort: what it cost.
        """
        part = self._part(evaluation, chunk)
        write_atomic(part.with_suffix(".safetensors"), save(kept))
        write_atomic(part.with_suffix(".json"), json.dumps(asdict(effort)))
        write_atomic(part, parquet(rows))

    def merge(self, evaluation: str, chunks: int) -> None:
        """Turn the parts of a complete evaluation into its sample table and its images, and note its seconds."""
        parts = [self._part(evaluation, chunk) for chunk in range(chunks)]
        pictures = [read_safetensors(part.with_suffix(".safetensors")) for part in parts]
        merged = {key: cat([picture[key] for picture in pictures]) for key in ("ids", "images")}
        write_atomic(self.directory / "images" / f"{evaluation}.safetensors", save(merged))
        self._note_seconds(evaluation, sum(self.effort(evaluation, chunk).seconds for chunk in range(chunks)))
        # Sorted, because readers look images up by bisection.
        rows = pa.concat_tables([pq.read_table(part) for part in parts]).sort_by("image").combine_chunks()
        # The table before the parts go: a kill in between leaves both, and merging again gives the same.
        write_atomic(self._samples(evaluation), parquet(rows))
        for part in parts:
            for suffix in (".parquet", ".json", ".safetensors"):
                part.with_suffix(suffix).unlink()

    def close(self) -> None:
        """Remove the folder that only unfinished work needs; what others have put there stays, and so does it then."""
        with suppress(OSError):
            (self.directory / "parts").rmdir()

    def give_back(self) -> None:
        """Let another process write the directory, now that the report is there, too."""
        if self._lock is not None:
            give_back(self._lock)
        self._lock = None

    def _note_seconds(self, evaluation: str, seconds: float) -> None:
        path = self.directory / "times.json"
        times: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
        write_atomic(path, json.dumps(times | {evaluation: seconds}, indent=1, sort_keys=True))

    def _samples(self, evaluation: str) -> Path:
        return self.directory / "samples" / f"{evaluation}.parquet"

    def _part(self, evaluation: str, chunk: int) -> Path:
        return self.directory / "parts" / f"{evaluation}.{chunk:05d}.parquet"
