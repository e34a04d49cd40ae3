"""Run directories without a network: records, lists, pairs, and what is no run."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_aig import files
from robustbench_aig.errors import InputError, RunError
from robustbench_aig.runs import (
    RECORD,
    RunRecord,
    Trained,
    ambiguous,
    clear_run,
    differences,
    find_run,
    newest_pair,
    read_history,
    read_run,
    released,
    spelled_run,
    write_run,
)
from tests.tiny import recipe


def record(name: str, *, gated: bool = True, finished: str | None = "2026-01-01", **changes: Any) -> RunRecord:
    data = Trained(
        name="digits",
        source="digits",
        seed=changes.get("seed", 0),
        classes=["0", "1"],
        shape=(1, 8, 8),
        mean=[0.1 + 0.2],
        std=[1 / 3],
    )
    content: dict[str, Any] = {
        "name": name,
        "recipe_name": "gated" if gated else "plain",
        "recipe": recipe(gated=gated),
        "data": data,
        "seed": 0,
        "status": "finished" if finished else "training",
        "created": "2026-01-01",
        "finished": finished,
        "command": "aigrob train",
        "environment": {},
        "parameters": 1,
    }
    return RunRecord(**(content | changes))


def put(root: Path, *records: RunRecord) -> None:
    for one in records:
        (root / one.name).mkdir(parents=True)
        write_run(root / one.name, one)


def names(pair: list[tuple[Path, RunRecord]]) -> list[str]:
    return [path.name for path, _ in pair]


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    for gated in (True, False):
        one = record(f"gated-{gated}", gated=gated)
        put(tmp_path, one)
        assert read_run(tmp_path / one.name) == one
        assert read_run(tmp_path / one.name).family == ("gated" if gated else "plain")


@given(st.floats(1e-9, 1e9))
def test_numbers_come_back_exactly(value: float) -> None:
    one = record("a")
    changed = one.model_copy(update={"data": one.data.model_copy(update={"mean": [value]})})
    assert RunRecord.model_validate_json(changed.model_dump_json()) == changed


def test_the_newest_pair_is_the_last_finished_and_its_twin(tmp_path: Path) -> None:
    put(
        tmp_path,
        record("plain-old", gated=False, finished="2026-01-01"),
        record("plain-new", gated=False, finished="2026-01-03"),
        record("gated-new", finished="2026-01-04"),
        record("gated-running", finished=None),
    )
    (tmp_path / "no run").mkdir()
    assert names(newest_pair(tmp_path)) == ["plain-new", "gated-new"]


def test_the_twin_has_the_same_seed_where_there_is_one(tmp_path: Path) -> None:
    put(
        tmp_path,
        record("gated-0", finished="2026-01-01", seed=0),
        record("gated-1", finished="2026-01-02", seed=1),
        record("plain-0", gated=False, finished="2026-01-03", seed=0),
    )
    assert names(newest_pair(tmp_path)) == ["plain-0", "gated-0"]


def test_a_twin_on_other_data_is_no_twin(tmp_path: Path) -> None:
    other = record("plain", gated=False)
    other = other.model_copy(update={"data": other.data.model_copy(update={"name": "other"})})
    put(tmp_path, other, record("gated", finished="2026-01-04"))
    assert names(newest_pair(tmp_path)) == ["gated"]


def test_no_finished_run_says_how_to_make_one(tmp_path: Path) -> None:
    put(tmp_path, record("a", finished=None))
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunError, match="train a pair first with aigrob train"):
            newest_pair(root)


def test_a_run_is_found_by_name_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "runs", record("a"))
    monkeypatch.chdir(tmp_path)
    assert find_run("a", Path("runs")) == find_run("runs/a", Path("elsewhere")) == Path("runs/a")
    assert find_run("b", Path("runs")) == Path("runs/b")


def test_a_folder_hides_no_run_that_bears_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(Path("runs"), record("a"))
    root, shipped = Path("runs"), "cifar10-jpeg-aig20-short-s0"
    for name in ("a", "b", shipped):
        Path(name).mkdir()
    assert find_run("a", root) == Path("runs/a")
    assert find_run("./a", root) == find_run("a/", root) == Path("a")
    assert find_run(shipped, root) == released() / shipped
    assert find_run("b", root) == Path("b")
    (told,) = ambiguous(["a", "b", "./a", "runs/a"], root)
    assert told.startswith("'a' is taken for runs/a, not for ./a")
    # A run of the current directory is found by its name only where no other is.
    put(Path(), record("c"))
    assert find_run("c", root) == Path("c")
    assert ambiguous(["c"], root) == []
    put(Path("runs"), record("c"))
    assert find_run("c", root) == Path("runs/c")
    assert "not for ./c" in ambiguous(["c"], root)[0]


@pytest.mark.parametrize("place", ["runs/a", "a", "else where/a", "./deep/er/a"])
def test_a_run_is_spelled_so_that_it_is_found(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(Path("runs"), record("a"))
    if place != "runs/a":
        put(Path(place).parent, record("a"))
    assert find_run(spelled_run(Path(place), Path("runs")), Path("runs")) == Path(place)
    assert spelled_run(Path("runs/a"), Path("runs")) == "a"


def test_a_missing_run_names_the_nearest(tmp_path: Path) -> None:
    put(tmp_path, record("digits-aig14-s0"))
    with pytest.raises(RunError, match="did you mean 'digits-aig14-s0'"):
        read_run(tmp_path / "digits-aig14-s1")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is no run"),
        ("", "is damaged"),
        ('{"schema_version": "1", "na', "is damaged"),
        ('{"name": "package.json"}', "is damaged or not a run of this version"),
        ("[]", "is damaged"),
        (record("a", finished=None).model_dump_json(), "interrupted; resume with: aigrob train --resume"),
        (record("a").model_dump_json().replace('"schema_version":"1"', '"schema_version":"7"'), "schema_version"),
    ],
)
def test_what_is_no_finished_run_is_refused(tmp_path: Path, content: str | None, words: str) -> None:
    (tmp_path / "a").mkdir()
    if content is not None:
        (tmp_path / "a" / RECORD).write_text(content)
    with pytest.raises(RunError, match=words) as caught:
        read_run(tmp_path / "a")
    assert "\n" not in str(caught.value)


def test_differences_name_the_key(tmp_path: Path) -> None:
    one = record("a")
    assert differences(one, record("b", finished=None, command="other")) == []
    moved = one.model_copy(update={"data": one.data.model_copy(update={"source": "/moved"})})
    assert differences(one, moved) == []
    assert differences(one, record("a", seed=3)) == ["data.seed was 0, now 3", "seed was 0, now 3"]


def test_clearing_leaves_other_files(tmp_path: Path) -> None:
    put(tmp_path, record("a"))
    (tmp_path / "a" / "notes.txt").write_text("mine")
    clear_run(tmp_path / "a")
    clear_run(tmp_path / "never was")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("content", [None, "{}\n", '{"epoch": 1'])
def test_a_damaged_history_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "history.jsonl").write_text(content)
    with pytest.raises(RunError, match="cannot be read" if content is None else "is damaged: train it again"):
        read_history(tmp_path)


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    files.write_atomic(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match=r"a\.json: No space left on device; free some space or choose another --out"):
        files.write_atomic(path, "new")
    assert path.read_text() == "old"
