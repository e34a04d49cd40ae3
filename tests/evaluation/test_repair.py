"""Whatever happens to files of an interrupted evaluation, going on gives the bytes of one that nothing happened to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from robustbench_aig.errors import InputError, RunError
from robustbench_aig.evaluation import Evaluator, Store
from robustbench_aig.manifest import Manifest
from robustbench_aig.records import Plan
from tests.evaluation.conftest import contents, evaluator, make

Harm = Callable[[Path], object]

CHUNKS, DONE = 9, 8
"""At the interruption two evaluations are merged, and two of the last one's three chunks lie there."""


def flipped(path: Path) -> None:
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def replaced_by_the_next(path: Path) -> None:
    other = next(p for p in sorted(path.parent.glob(f"*{path.suffix}")) if p != path)
    shutil.copy(other, path)


HARMS: dict[str, Harm] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "one bit": flipped,
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("[[[{}]]]"),
    "another's": replaced_by_the_next,
}
PARTS = [f"parts/*.{ending}" for ending in ("parquet", "json", "safetensors")]
"""Of each kind the first is harmed."""


def plan() -> Plan:
    """The clean images and two attacks on the plain network."""
    whole = make(attacks=("fgsm", "corners"), eps=("8/255",))
    return whole.model_copy(update={"evaluations": [e for e in whole.evaluations if e.model == "plain"]})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole")
    list(evaluator(directory, plan()))
    return directory


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("interrupted")
    work = evaluator(directory, plan())
    list(islice(work, DONE))
    work.store.give_back()
    assert [len(list((directory / folder).iterdir())) for folder in ("parts", "samples", "images")] == [6, 2, 2]
    return directory


@pytest.fixture
def copy(interrupted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(interrupted, tmp_path / "copy"))


def go_on(directory: Path) -> tuple[Evaluator, list[str]]:
    """What carries out the rest, and what was said to be damaged."""
    store = Store(directory)
    told = store.open(plan(), resume=True)
    store.give_back()
    return evaluator(directory, plan()), told


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("kind", PARTS)
def test_a_damaged_chunk_is_done_again(kind: str, harm: str, copy: Path, whole: Path) -> None:
    path = min(copy.glob(kind))
    HARMS[harm](path)
    rest, told = go_on(copy)
    if (kind, harm) == ("parts/*.parquet", "missing"):  # as if it had not been done yet
        assert told == []
    else:
        (sentence,) = told
        assert str(copy) in sentence
        assert sentence.endswith("is done again")
    assert sum(not event.resumed for event in rest) == CHUNKS - DONE + 1
    assert contents(copy) == contents(whole)


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_table_is_made_again(harm: str, copy: Path, whole: Path) -> None:
    HARMS[harm](min(copy.glob("samples/*.parquet")))
    rest, told = go_on(copy)
    assert len(told) == (harm != "missing")
    assert all(sentence.endswith("its images are attacked again") for sentence in told)
    assert sum(not event.resumed for event in rest) == CHUNKS - DONE + 3
    assert contents(copy) == contents(whole)


@pytest.mark.parametrize("harm", sorted(HARMS.keys() - {"missing"}))
def test_damaged_pictures_cost_no_number(harm: str, copy: Path, whole: Path) -> None:
    path = min(copy.glob("images/*.safetensors"))
    HARMS[harm](path)
    rest, told = go_on(copy)
    assert [sentence.endswith("its pictures are lost, its numbers are not") for sentence in told] == [True]
    list(rest)
    assert contents(copy) == {n: content for n, content in contents(whole).items() if n != str(path.relative_to(copy))}


@pytest.mark.parametrize("harm", sorted(HARMS.keys() - {"missing", "another's"}))
def test_damaged_times_are_unknown(harm: str, copy: Path, whole: Path) -> None:
    HARMS[harm](copy / "times.json")
    rest, told = go_on(copy)
    assert [sentence.endswith("is not known any more") for sentence in told] == [True]
    list(rest)
    assert contents(copy) == contents(whole)


@pytest.mark.parametrize(
    "name", ["x.parquet", "x.y.parquet", f"x.{'9' * 5000}.parquet"[:200], ".00001.parquet", "a.00001.parquet"]
)
def test_files_of_others_among_the_chunks_stay(name: str, copy: Path, whole: Path) -> None:
    (copy / "parts" / f"{name}.parquet").write_text("precious")
    rest, told = go_on(copy)
    assert told == []
    list(rest)
    assert (copy / "parts" / f"{name}.parquet").read_text() == "precious"
    assert contents(copy) == contents(whole)


@pytest.mark.parametrize("kind", [*PARTS, "samples/*.parquet", "times.json"])
@pytest.mark.parametrize("special", [os.mkfifo, Path.mkdir])
def test_what_is_no_file_is_told_and_stays(kind: str, special: Harm, copy: Path) -> None:
    path = min(copy.glob(kind))
    path.unlink()
    special(path)
    with pytest.raises(InputError, match=r"it is a (FIFO|folder), not a plain file"):
        go_on(copy)
    assert path.exists()


def test_chunks_past_the_end_are_removed(copy: Path, whole: Path) -> None:
    for path in (copy / "parts").iterdir():
        shutil.copy(path, path.with_name(path.name.replace(".0000", ".0007")))
    rest, told = go_on(copy)
    assert len(told) == 2
    list(rest)
    assert contents(copy) == contents(whole)
    assert not (copy / "parts").exists()


def test_a_kill_between_the_table_and_its_parts_leaves_nothing(copy: Path, whole: Path) -> None:
    parts = {path.name: path.read_bytes() for path in (copy / "parts").iterdir()}
    list(evaluator(copy, plan()))
    (copy / "parts").mkdir()
    for name, content in parts.items():
        (copy / "parts" / name).write_bytes(content)
    rest, told = go_on(copy)
    assert (told, [event.resumed for event in rest]) == ([], [True] * 3)
    assert contents(copy) == contents(whole)
    assert not (copy / "parts").exists()


def test_a_directory_of_before_there_were_manifests_goes_on(copy: Path, whole: Path) -> None:
    """Nothing can be verified but that it can be read; and nothing becomes verified by going on."""
    (copy / "manifest.json").unlink()
    HARMS["half"](min(copy.glob("samples/*.parquet")))
    rest, told = go_on(copy)
    assert len(told) == 1
    list(rest)
    assert contents(copy) == contents(whole)
    assert not (copy / "manifest.json").exists()


def test_without_its_plan_nothing_is_removed(copy: Path) -> None:
    (copy / "plan.json").unlink()
    before = contents(copy)
    for resume in (False, True):
        with pytest.raises(RunError, match=r"plan\.json is missing, and what was measured there would be lost"):
            Store(copy).open(plan(), resume=resume)
    assert contents(copy) == before


@pytest.mark.parametrize("name", ["plan.json", "checks/x.json"])
@pytest.mark.parametrize("harm", [flipped, Path.unlink])
def test_what_no_evaluation_makes_again_is_told_before_anything_is_done(name: str, harm: Harm, copy: Path) -> None:
    (copy / "checks").mkdir()
    manifest = Manifest.of(copy)
    manifest.write("checks/x.json", "{}")
    manifest.write("plan.json", (copy / "plan.json").read_text() + "\n\n\n")  # of which a bit may change unseen
    harm(copy / name)
    before = contents(copy)
    with pytest.raises(
        RunError, match=rf"{name}.*: (restore it from a copy, or (run that aigrob check|attack)|attack again)"
    ):
        go_on(copy)
    assert contents(copy) == before


def test_a_chunk_in_another_s_place_is_done_again(copy: Path, whole: Path) -> None:
    """All three of its files, which agree with each other."""
    first, second = sorted({path.name.split(".")[-2] for path in (copy / "parts").iterdir()})
    for path in (copy / "parts").glob(f"*.{first}.*"):
        shutil.copy(path, path.with_name(path.name.replace(f".{first}.", f".{second}.")))
    rest, told = go_on(copy)
    assert len(told) == 1
    list(rest)
    assert contents(copy) == contents(whole)


@pytest.mark.parametrize(
    ("old", "new"), [('"seconds":', '"seconds":9'), ('"images"', '"imagex"'), ('"chunk":', '"chunk":1')]
)
def test_what_a_chunk_says_of_itself_is_verified(old: str, new: str, copy: Path, whole: Path) -> None:
    path = min(copy.glob("parts/*.json"))
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    rest, told = go_on(copy)
    assert len(told) == 1
    list(rest)
    assert contents(copy) == contents(whole)


def test_a_chunk_of_an_early_version_goes_on(copy: Path, whole: Path) -> None:
    """Which told nothing but what it cost."""
    path = min(copy.glob("parts/*.json"))
    path.write_text('{"seconds": 1.5, "short": null, "reason": null}')
    rest, told = go_on(copy)
    assert told == []
    list(rest)
    assert contents(copy) == contents(whole)


@pytest.mark.parametrize(("done", "also"), [(2, 0), (3, 0), (5, 1), (9, 2)])
def test_in_a_cascade_nothing_is_skipped_for_what_is_done_again(done: int, also: int, tmp_path: Path) -> None:
    """The redone rows may come out differently on another machine."""
    cascade = make(attacks=("fgsm", "pgd-torchattacks"), eps=("32/255",), cascade=True)
    mine = [e for e in cascade.evaluations if e.model == "plain"]
    cascade = cascade.model_copy(update={"evaluations": mine})
    list(evaluator(tmp_path / "whole", cascade))
    cut = tmp_path / "cut"
    work = evaluator(cut, cascade)
    list(islice(work, done))
    work.store.give_back()
    flipped(min([*cut.glob("samples/*clean*"), *cut.glob("parts/*clean*.parquet")]))
    store = Store(cut)
    told = store.open(cascade, resume=True)
    store.give_back()
    assert sum("skips images by what is done again" in one for one in told) == also
    list(evaluator(cut, cascade))
    assert contents(cut) == contents(tmp_path / "whole")
