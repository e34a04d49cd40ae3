"""No bit of a report directory changes unseen, and no kill makes a sound file look changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from robustbench_aig import manifest as room
from robustbench_aig.errors import DamagedError, RunError
from robustbench_aig.files import write_atomic
from robustbench_aig.manifest import MANIFEST, Manifest
from robustbench_aig.reporting import aggregate
from robustbench_aig.reporting.evidence import load_evidence, load_images
from tests.evaluation.conftest import SHAPE, evaluator, make


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def read_all(directory: Path) -> None:
    evidence = load_evidence(directory)
    for name in evidence.rows:
        _ = evidence.rows[name], load_images(directory, name, SHAPE)


def trouble(directory: Path) -> str | None:
    """What somebody is told who reads all of a directory; None where nothing is wrong."""
    try:
        read_all(directory)
    except RunError as error:
        return str(error)
    return None


def test_it_lists_every_file_that_numbers_come_from(finished: Path) -> None:
    files = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    assert Manifest.of(finished).files is not None
    assert set(Manifest.of(finished).files or ()) == files - {MANIFEST, ".lock", ".writer.json"}
    read_all(finished)


@pytest.mark.parametrize("flips", [100, pytest.param(1000, marks=pytest.mark.evidence)])
def test_a_flipped_bit_is_noticed_or_without_effect(flips: int, copy: Path) -> None:
    """Each file of the directory is hit alike often, the small ones too."""
    rng, before = np.random.default_rng(flips), Manifest.of(copy)
    paths = [path for path in sorted(copy.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    for number in range(flips):
        path = paths[number % len(paths)]
        sound = path.read_bytes()
        harmed = bytearray(sound)
        harmed[rng.integers(len(sound))] ^= 1 << int(rng.integers(8))
        path.write_bytes(harmed)
        told = trouble(copy)
        if told is None:
            assert path.name == MANIFEST
            assert Manifest.of(copy) == before
        else:
            assert str(copy) in told
            assert "\n" not in told
        path.write_bytes(sound)
    read_all(copy)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same evaluation with another seed."""
    directory = tmp_path_factory.mktemp("other")
    list(evaluator(directory, make(seed=1)))
    return directory


def test_a_table_that_was_made_well_but_elsewhere_is_noticed(copy: Path, other: Path) -> None:
    """Nothing is wrong with it but that it isn't what was measured here."""
    name = "gated.sampled.fgsm.linf-2_255"
    shutil.copy(other / "samples" / f"{name}.parquet", copy / "samples")
    with pytest.raises(DamagedError, match=f"{name}.parquet is not what was written there"):
        aggregate(copy)


def test_equal_rows_have_equal_digests(finished: Path, other: Path, tmp_path: Path) -> None:
    """Whatever the clock said meanwhile."""
    list(evaluator(tmp_path, make()))
    digests = [aggregate(directory).rows_digest for directory in (finished, tmp_path, other)]
    assert digests[0] is not None
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_kill_while_a_file_is_replaced_leaves_it_sound(
    writes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the three files that are written one after the other so many are."""
    Manifest.begin(tmp_path).write("times.json", "old")
    left = writes

    def killed(path: Path, content: bytes | str) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        write_atomic(path, content)

    monkeypatch.setattr(room, "write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        Manifest.of(tmp_path).write("times.json", "new")
    monkeypatch.undo()
    assert Manifest.of(tmp_path).read("times.json") == (b"new" if writes == 2 else b"old")
    Manifest.of(tmp_path).write("times.json", "newer")
    assert Manifest.of(tmp_path).read("times.json") == b"newer"
    (tmp_path / "times.json").write_text("old")
    with pytest.raises(DamagedError):
        Manifest.of(tmp_path).read("times.json")


def test_who_reads_while_another_writes_gets_what_is_there(tmp_path: Path) -> None:
    Manifest.begin(tmp_path).write("times.json", "old")
    reader = Manifest.of(tmp_path)
    Manifest.of(tmp_path).write("times.json", "new")
    assert reader.read("times.json") == b"new"


def test_without_a_table_a_report_is_partial(copy: Path) -> None:
    before = aggregate(copy)
    (copy / "samples" / "plain.none.corners.linf-8_255.parquet").unlink()
    after = aggregate(copy)
    assert (before.status, after.status) == ("complete", "partial")
    assert after.rows_digest != before.rows_digest


@pytest.mark.parametrize("name", ["times.json", "checks/x.json"])
def test_a_file_that_is_gone_is_noticed(name: str, copy: Path) -> None:
    (copy / "checks").mkdir()
    Manifest.of(copy).write("checks/x.json", "{}")
    (copy / name).unlink()
    with pytest.raises(DamagedError, match=f"{name} is missing"):
        load_evidence(copy)


@pytest.mark.parametrize("change", [{"version": 99}, {"version": "1"}, {"more": 1}, {"files": {}}, {"sha256": ""}])
def test_a_manifest_of_anybody_is_told_in_one_line(change: dict[str, object], tmp_path: Path) -> None:
    Manifest.begin(tmp_path).write("times.json", "{}")
    content = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(content | change))
    with pytest.raises(RunError, match=r"manifest\.json is (damaged|of a newer aigrob): [^\n]+$"):
        Manifest.of(tmp_path)
