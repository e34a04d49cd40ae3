"""The files of one finished chunk, which lie in `parts/` until the last chunk of its evaluation is there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from robustbench_aig.errors import DamagedError
from robustbench_aig.files import remove, sha256_of_bytes, write_atomic
from robustbench_aig.records.documents import read_file
from robustbench_aig.sample_table import parquet, read_parquet

PARTS = "parts"
_NAME = re.compile(r"(.+)\.(\d{5,9})\.parquet")


@dataclass(frozen=True)
class Effort:
    """What a chunk cost and how it went; kept apart from its rows, which must not depend on it.

    Attributes:
        seconds: that its process worked on it.
        short: images that fit into memory at once, where not all of them did; else None.
        reason: why images of it ended as errors; None where none did.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    seconds: float
    short: int | None
    reason: str | None


_EFFORT = TypeAdapter(Effort)


class _Note(BaseModel):
    """What stands beside a chunk's rows: whose they are, what they cost, and the SHA-256 of each file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    evaluation: str
    chunk: int
    effort: Effort
    rows: str
    images: str


@dataclass(frozen=True)
class ChunkFiles:
    """Rows, attacked images and effort of one chunk.

    Attributes:
        directory: of the report.
        evaluation: its id.
        chunk: its number.
    """

    directory: Path
    evaluation: str
    chunk: int

    @classmethod
    def all_in(cls, directory: Path) -> list[ChunkFiles]:
        """Those that are finished, whichever process wrote them."""
        found = (_NAME.fullmatch(path.name) for path in (directory / PARTS).glob("*.parquet"))
        return [cls(directory, name[1], int(name[2])) for name in found if name]

    @classmethod
    def numbers(cls, directory: Path) -> dict[str, set[int]]:
        """The same by evaluation, as the chunks' numbers."""
        found: dict[str, set[int]] = defaultdict(set)
        for files in cls.all_in(directory):
            found[files.evaluation].add(files.chunk)
        return found

    def exist(self) -> bool:
        """Whether the chunk is finished."""
        return self._rows.exists()

    def write(self, rows: pa.Table, kept: dict[str, Tensor], effort: Effort) -> None:
        """Keep a finished chunk: its rows last, since they say that it is finished.

        Args:
            rows: of the sample table.
            kept: "ids" (n,) and "images" (n, C, H, W), on the CPU; n may be 0.
            effort: what it cost.
        """
        table, pictures = parquet(rows), save(kept)
        note = _Note(
            evaluation=self.evaluation,
            chunk=self.chunk,
            effort=effort,
            rows=sha256_of_bytes(table),
            images=sha256_of_bytes(pictures),
        )
        content = note.model_dump_json().encode()
        write_atomic(self._images, pictures)
        write_atomic(self._effort, b"\n".join((content, sha256_of_bytes(content).encode())))
        write_atomic(self._rows, table)

    def effort(self) -> Effort:
        """What it cost; DamagedError where that is damaged, or another chunk's."""
        note = self._note()
        return note.effort if isinstance(note, _Note) else note

    def _note(self) -> _Note | Effort:
        """What stands beside the rows; versions before 0.2 told what they cost, and nothing else."""
        content, _, digest = read_file(self._effort).partition(b"\n")
        try:
            if not digest:
                return _EFFORT.validate_json(content)
            note = _Note.model_validate_json(content)
        except ValidationError:
            raise DamagedError(f"{self._effort} is damaged") from None
        if digest != sha256_of_bytes(content).encode() or (note.evaluation, note.chunk) != (
            self.evaluation,
            self.chunk,
        ):
            raise DamagedError(f"{self._effort} is not what was written there")
        return note

    def rows(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Its rows, or some of their columns; DamagedError where they are damaged."""
        content = self._verified(self._rows, "rows")
        return read_parquet(content, self._rows, columns=columns and list(columns))

    def images(self) -> dict[str, Tensor]:
        """Its kept images, as they were given to `write`; DamagedError where they are damaged."""
        content = self._verified(self._images, "images")
        try:
            tensors: dict[str, Tensor] = load(content)
        except SafetensorError as error:
            raise DamagedError(f"{self._images}: cannot be read ({error})") from None
        if tensors.keys() != {"ids", "images"}:
            raise DamagedError(f"{self._images} is damaged")
        return tensors

    def check(self, images: int) -> None:
        """DamagedError where anything of it is damaged or missing, or where it has not the rows of so many images."""
        if self.rows().num_rows != images:
            raise DamagedError(f"{self._rows} has not the rows of {images} images")
        self.images()

    def remove(self) -> None:
        """Delete what is there of it; InputError where that fails, or something else stands there."""
        for path in (self._effort, self._images, self._rows):  # a kill in between leaves what still is a chunk's name
            remove(path)

    def _verified(self, path: Path, kind: Literal["rows", "images"]) -> bytes:
        content, note = read_file(path), self._note()
        if isinstance(note, _Note) and sha256_of_bytes(content) != getattr(note, kind):
            raise DamagedError(f"{path} is not what was written there")
        return content

    @property
    def _rows(self) -> Path:
        return self.directory / PARTS / f"{self.evaluation}.{self.chunk:05d}.parquet"

    @property
    def _effort(self) -> Path:
        return self._rows.with_suffix(".json")

    @property
    def _images(self) -> Path:
        return self._rows.with_suffix(".safetensors")
