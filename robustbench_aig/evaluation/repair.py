"""Damage in a report directory that is gone on with: what cannot be believed is removed, so that it's done again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from robustbench_aig.errors import DamagedError
from robustbench_aig.evaluation.cascade import earlier
from robustbench_aig.evaluation.chunk_files import ChunkFiles
from robustbench_aig.files import remove
from robustbench_aig.manifest import Manifest
from robustbench_aig.records import Plan
from robustbench_aig.records.documents import parse_json
from robustbench_aig.sample_table import NAMES, images_of, read_parquet, table_of

_CLOCKS = {
    "times.json": "what the finished evaluations took is not known any more",
    "latency.json": "latency is measured again",
    "pace.json": "pace is measured again",
}
_MADE_AGAIN = ("samples/", "images/", NAMES, *_CLOCKS)


def repair(manifest: Manifest, plan: Plan) -> list[str]:
    """Remove what is damaged. The directory must be this process's.

    Returns:
        A sentence for everything that was removed, which names its cause.

    Raises:
        RunError: a file cannot be read, or one is damaged or missing that no evaluation makes again.
        InputError: one cannot be removed, or what stands in its place is none.
    """
    for name in manifest.files or ():
        if not name.startswith(_MADE_AGAIN):
            manifest.read(name)
    told = [*_tables(manifest, plan), *_clocks(manifest), *_chunks(manifest, plan), *_groundless(manifest, plan)]
    manifest.settle(without=manifest.missing())
    return told


def _tables(manifest: Manifest, plan: Plan) -> Iterator[str]:
    for evaluation in plan.evaluations:
        table, images = table_of(evaluation.id), images_of(evaluation.id)
        if (damage := _damage(manifest, table, partial(_check_rows, plan))) is not None:
            remove(manifest.directory / table)
            yield f"{damage}: its images are attacked again"
        elif (damage := _damage(manifest, images, lambda *_: None)) is not None:
            remove(manifest.directory / images)
            yield f"{damage}: its pictures are lost, its numbers are not"


def _clocks(manifest: Manifest) -> Iterator[str]:
    for name, consequence in _CLOCKS.items():
        if (damage := _damage(manifest, name, _check_map)) is not None:
            remove(manifest.directory / name)
            yield f"{damage}: {consequence}"


def _damage(manifest: Manifest, name: str, check: Callable[[bytes, Path], None]) -> str | None:
    """What is wrong with a file; None where nothing is, or there is none. RunError where it cannot be read."""
    path = manifest.directory / name
    if not path.exists():
        return None
    try:
        check(manifest.read(name), path)
    except DamagedError as error:
        return error.damage
    return None


def _check_rows(plan: Plan, content: bytes, path: Path) -> None:
    rows = read_parquet(content, path).num_rows
    if rows != plan.data.n:
        raise DamagedError(f"{path} has {rows} rows for {plan.data.n} images")


def _check_map(content: bytes, path: Path) -> None:
    """What is in it is checked by who reads it."""
    if not isinstance(parse_json(content, path), dict):
        raise DamagedError(f"{path} is no map from evaluations to what was measured of them")


def _chunks(manifest: Manifest, plan: Plan) -> Iterator[str]:
    evaluations = {e.id for e in plan.evaluations}
    for files in sorted(ChunkFiles.all_in(manifest.directory), key=lambda files: (files.evaluation, files.chunk)):
        if files.evaluation not in evaluations:
            continue
        if (manifest.directory / table_of(files.evaluation)).exists():  # a kill came between the table and this
            files.remove()
            continue
        try:
            files.check(plan.size_of(files.chunk))
        except DamagedError as error:
            files.remove()
            yield f"{error.damage}: chunk {files.chunk} of {files.evaluation} is done again"


def _groundless(manifest: Manifest, plan: Plan) -> Iterator[str]:
    """In a cascade, remove what skips images for rows that are done again, and may come out differently."""
    whole = set(range(plan.chunks))
    there = {e.id: set[int]() for e in plan.evaluations} | ChunkFiles.numbers(manifest.directory)
    for evaluation in plan.evaluations:
        table = table_of(evaluation.id)
        if (manifest.directory / table).exists():
            there[evaluation.id] = set(whole)
        ground = whole.intersection(*(there[before.id] for before in earlier(evaluation, plan)))
        lost = there[evaluation.id] - ground
        if not lost:
            continue
        if (manifest.directory / table).exists():
            remove(manifest.directory / table)
            there[evaluation.id] = set()
        for chunk in lost:
            ChunkFiles(manifest.directory, evaluation.id, chunk).remove()
        there[evaluation.id] -= lost
        yield f"{evaluation.id} skips images by what is done again: it is attacked again, too"
