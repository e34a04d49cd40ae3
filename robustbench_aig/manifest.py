"""The manifest of a report directory: a digest of each file that numbers are made from, so that no change goes unseen.

Docs: docs/evidence.md. No torch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from robustbench_aig.errors import DamagedError, RunError
from robustbench_aig.files import sha256_of, sha256_of_bytes, write_atomic
from robustbench_aig.records.documents import read_file

MANIFEST = "manifest.json"


class _Content(BaseModel):
    """What the file says.

    Attributes:
        files: path in the directory, with slashes, to the SHA-256 of what is there; two where one is being replaced.
        sha256: of `files`.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    version: int
    files: dict[str, list[str]]
    sha256: str


_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """What was written into a report directory.

    Attributes:
        directory: of the report.
        files: as in the file; None where there is no manifest, as versions before 0.2 wrote none: nothing is verified.
    """

    directory: Path
    files: dict[str, list[str]] | None

    @classmethod
    def of(cls, directory: Path) -> Manifest:
        """That of a directory.

        Raises:
            RunError: it cannot be read, or is damaged.
        """
        path = directory / MANIFEST
        if not path.exists():
            return cls(directory, None)
        try:
            content = _Content.model_validate_json(read_file(path))
        except ValidationError:
            raise RunError(_damaged(path)) from None
        if content.version > _VERSION:
            raise RunError(f"{path} is of a newer aigrob: update this one")
        if content.sha256 != digest_of(content.files):
            raise RunError(_damaged(path))
        return cls(directory, content.files)

    @classmethod
    def begin(cls, directory: Path) -> Manifest:
        """An empty one for a new report, in place of any that is there."""
        manifest = cls(directory, {})
        manifest._save()
        return manifest

    @property
    def rows_digest(self) -> str | None:
        """SHA-256 over the digests of the sample tables that are there; None without a manifest."""
        names = (name for name in self.files or {} if name.startswith("samples/"))
        tables = {name: (self.files or {})[name] for name in names if (self.directory / name).exists()}
        return None if self.files is None else digest_of(tables)

    def read(self, name: str) -> bytes:
        """The content of a file, which is what was written; without a manifest unverified.

        Args:
            name: path in the directory, with slashes.

        Raises:
            RunError: it cannot be read; as DamagedError, it is something else, or missing.
        """
        path, files = self.directory / name, self.files
        for _ in range(3):
            if not path.exists():
                raise DamagedError(f"{path} is missing", way_out(name))
            content = read_file(path)
            if files is None or sha256_of_bytes(content) in files.get(name, ()):
                return content
            files = Manifest.of(self.directory).files  # it may have been replaced by now, by who evaluates there
        raise DamagedError(f"{path} is not what was written there: {MANIFEST} has another digest", way_out(name))

    def missing(self) -> list[str]:
        """The files that were written and are gone."""
        return [name for name in self.files or () if not (self.directory / name).exists()]

    def settle(self, *, without: Collection[str] = ()) -> None:
        """Forget files, and what a killed process was about to write; only for who has taken the directory.

        Args:
            without: names of those to forget.
        """
        if self.files is None:
            return
        for name in without:
            self.files.pop(name, None)
        for name, digests in self.files.items():
            if len(digests) > 1:
                found = sha256_of(self.directory / name)
                self.files[name] = [found] if found in digests else digests
        self._save()

    def write(self, name: str, content: bytes | str) -> None:
        """Replace a file, and note its digest, so that a kill at any moment leaves both in accord.

        Only the process that has taken the directory may write.

        Raises:
            InputError: the disk is full, or the folder cannot be written.
        """
        content = content.encode() if isinstance(content, str) else content
        if self.files is None:
            write_atomic(self.directory / name, content)
            return
        digest, before = sha256_of_bytes(content), self.files.get(name, [])
        self.files[name] = [*dict.fromkeys([digest, *before])]
        self._save()
        write_atomic(self.directory / name, content)
        if self.files[name] != [digest]:
            self.files[name] = [digest]
            self._save()

    def _save(self) -> None:
        assert self.files is not None
        content = _Content(version=_VERSION, files=self.files, sha256=digest_of(self.files))
        write_atomic(self.directory / MANIFEST, content.model_dump_json(indent=1) + "\n")


def way_out(name: str) -> str:
    """What to do about a file that is damaged or missing."""
    if name == "plan.json":
        return "restore it from a copy, or attack again under another --name"
    if name.startswith("checks/"):
        return "restore it from a copy, or run that aigrob check --into again"
    return "restore it, or run the same attack with --resume"


def digest_of(files: Mapping[str, list[str]]) -> str:
    """SHA-256 of paths and their digests, in the order of the paths."""
    return sha256_of_bytes(json.dumps(files, sort_keys=True).encode())


def _damaged(path: Path) -> str:
    return f"{path} is damaged: restore it from a copy, or delete it, and the report's files count as unverified"
