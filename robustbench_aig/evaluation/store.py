"""The report directory while it fills: each finished chunk goes to disk at once, so a kill loses at most one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from filelock import FileLock
from safetensors.torch import save
from torch import Tensor, cat

from robustbench_aig.errors import DamagedError, RunError
from robustbench_aig.evaluation.chunk_files import PARTS, ChunkFiles, Effort
from robustbench_aig.evaluation.chunks import Images
from robustbench_aig.evaluation.plan_differences import differences
from robustbench_aig.evaluation.repair import repair
from robustbench_aig.files import make_folder, make_own_folder, remove_partial
from robustbench_aig.locks import give_back, refuse_held, take
from robustbench_aig.manifest import Manifest, way_out
from robustbench_aig.records import Plan
from robustbench_aig.records.documents import read_plan
from robustbench_aig.sample_table import NAME, NAMES, images_of, parquet, read_parquet, table_of


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
    _manifest: Manifest | None = field(default=None, init=False, repr=False, compare=False)
    _lock: FileLock | None = field(default=None, init=False, repr=False, compare=False)

    def check(self, plan: Plan, *, resume: bool) -> None:
        """Refuse a directory that cannot be written this plan into; change nothing.

        Raises:
            RunError: the directory holds another plan, or the same one and `resume` is false.
        """
        path = self.directory / "plan.json"
        if not path.exists():
            if any(name.startswith("samples/") for name in Manifest.of(self.directory).files or ()):
                raise RunError(f"{path} is missing, and what was measured there would be lost: {way_out(path.name)}")
            return
        try:
            before = read_plan(path)
        except DamagedError as error:
            raise DamagedError(error.damage, way_out(path.name)) from None
        if before.digest != plan.digest or not resume:
            refuse_held(self.directory)
        if before.digest != plan.digest:
            changed = ", ".join(differences(before, plan))
            raise RunError(f"{self.directory} holds another evaluation (other {changed}): give another --name")
        if not resume:
            raise RunError(
                f"{self.directory} already contains this evaluation: --resume continues it, --name starts another"
            )

    def open(self, plan: Plan, *, resume: bool) -> list[str]:
        """Begin with a plan, or go on where the same plan was interrupted; the directory is ours until `give_back`.

        What is damaged of its finished part is removed, so that it's done again.

        Returns:
            What was damaged, in a sentence each.

        Raises:
            RunError: as `check` says; or another process is writing there; or the manifest is damaged.
        """
        self.check(plan, resume=resume)
        make_folder(self.directory)
        self._lock = take(self.directory)
        with self.held_if_well():
            self.check(plan, resume=resume)  # another one may have been here meanwhile
            for folder in (PARTS, "samples", "images"):
                make_own_folder(self.directory / folder)
                remove_partial(self.directory / folder)
            remove_partial(self.directory)
            if not (self.directory / "plan.json").exists():
                self._manifest = Manifest.begin(self.directory)
                self.manifest.write("plan.json", plan.model_dump_json(indent=1))
            return repair(self.manifest, plan)

    @property
    def manifest(self) -> Manifest:
        """Of what is in the directory; RunError where it is damaged."""
        if self._manifest is None:
            self._manifest = Manifest.of(self.directory)
        return self._manifest

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
            self.manifest.write(NAMES, parquet(pa.table(columns, NAME).sort_by("image")))

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
        return self._part(evaluation, chunk).exist() or self.finished(evaluation)

    def parts(self) -> dict[str, set[int]]:
        """By evaluation the numbers of the chunks that lie there unmerged, whichever process wrote them."""
        return ChunkFiles.numbers(self.directory)

    def rows(self, evaluation: str, chunk: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of a finished chunk, merged or not."""
        part = self._part(evaluation, chunk)
        if part.exist():
            with suppress(DamagedError):  # another process may have merged it meanwhile
                return part.rows(columns)
        name = table_of(evaluation)
        content = Manifest.of(self.directory).read(name)  # as it is now: another process merges
        return read_parquet(content, self.directory / name, columns=list(columns), filters=[("chunk", "==", chunk)])

    def effort(self, evaluation: str, chunk: int) -> Effort:
        """What an unmerged chunk cost."""
        return self._part(evaluation, chunk).effort()

    def write(self, evaluation: str, chunk: int, rows: pa.Table, kept: dict[str, Tensor], effort: Effort) -> None:
        """Keep a finished chunk; arguments as `ChunkFiles.write`'s."""
        self._part(evaluation, chunk).write(rows, kept, effort)

    def merge(self, evaluation: str, chunks: int) -> None:
        """Turn the parts of a complete evaluation into its sample table and its images, and note its seconds."""
        parts = [self._part(evaluation, chunk) for chunk in range(chunks)]
        pictures = [part.images() for part in parts]
        merged = {key: cat([picture[key] for picture in pictures]) for key in ("ids", "images")}
        self.manifest.write(images_of(evaluation), save(merged))
        self._note_seconds(evaluation, sum(part.effort().seconds for part in parts))
        # Sorted, because readers look images up by bisection.
        rows = pa.concat_tables([part.rows() for part in parts]).sort_by("image").combine_chunks()
        # The table before the parts go: a kill in between leaves both, and the parts are removed by who goes on.
        self.manifest.write(table_of(evaluation), parquet(rows))
        for part in parts:
            part.remove()

    def close(self) -> None:
        """Remove the folder that only unfinished work needs; what others have put there stays, and so does it then."""
        with suppress(OSError):
            (self.directory / PARTS).rmdir()

    def give_back(self) -> None:
        """Let another process write the directory, now that the report is there, too."""
        if self._lock is not None:
            give_back(self._lock)
        self._lock = None

    def _note_seconds(self, evaluation: str, seconds: float) -> None:
        path = self.directory / "times.json"
        times: dict[str, float] = json.loads(self.manifest.read(path.name)) if path.exists() else {}
        self.manifest.write(path.name, json.dumps(times | {evaluation: seconds}, indent=1, sort_keys=True))

    def _samples(self, evaluation: str) -> Path:
        return self.directory / table_of(evaluation)

    def _part(self, evaluation: str, chunk: int) -> ChunkFiles:
        return ChunkFiles(self.directory, evaluation, chunk)
