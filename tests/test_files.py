"""Nothing is written through, renamed over, deleted or followed that somebody else laid in the way."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_aig.errors import InputError
from robustbench_aig.files import (
    distinct_names,
    file_name,
    make_own_folder,
    remove_partial,
    replacing,
    safe_name,
    write_atomic,
)
from tests.leftovers import half_written
from tests.unprivileged import as_user

Who = Callable[..., None]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    write_atomic(file, "old")
    write_atomic(file, "new")
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_the_mask_of_the_user_decides_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_what_fails_meanwhile_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a"
    write_atomic(file, "old")
    with suppress(KeyError), replacing(file) as stream:
        stream.write(b"half of the ne")
        raise KeyError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_names_cannot_be_known_beforehand(tmp_path: Path) -> None:
    made = {half_written(tmp_path / "a", b"").name for _ in range(20)}
    assert len(made) == 20


def link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "elsewhere")


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


EVERYBODY = pytest.mark.parametrize("who", [lambda call, *_: call(), as_user], ids=["whoever runs the tests", "a user"])


@EVERYBODY
@pytest.mark.parametrize(
    ("lay", "what"),
    [
        (link, "a link"),
        (link_to_nothing, "a link"),
        (os.mkfifo, "a FIFO"),
        (listening, "a socket"),
        (Path.mkdir, "a folder"),
    ],
)
def test_what_is_no_plain_file_stays(
    who: Who, lay: Callable[[Path], None], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "in"
    elsewhere.write_text("precious")
    folder.mkdir()
    monkeypatch.chdir(folder)  # the path of a socket has at most a hundred letters
    file = folder / "report.html"
    lay(Path("report.html") if lay is listening else file)
    mode, number = file.lstat().st_mode, file.lstat().st_ino

    def write() -> None:
        with pytest.raises(InputError, match=f"cannot write {file}: it is {what}, not a plain file; choose another"):
            write_atomic(file, "new")

    who(write, tmp_path)
    assert (file.lstat().st_mode, file.lstat().st_ino) == (mode, number)
    assert elsewhere.read_text() == "precious"
    assert list(folder.iterdir()) == [file]


@EVERYBODY
def test_a_device_stays(who: Who) -> None:
    def write() -> None:
        with pytest.raises(InputError, match="cannot write /dev/null: it is a device"):
            write_atomic(Path("/dev/null"), "new")

    who(write)
    assert stat.S_ISCHR(os.lstat("/dev/null").st_mode)


def test_only_unfinished_files_of_ours_are_deleted(tmp_path: Path) -> None:
    folder = tmp_path
    ours = half_written(folder / "a", b"half")
    others = {".bashrc", ".aigrob-notes.partial", ".a.partial", "a.partial", f"{ours.name}.bak"}
    for name in others:
        (folder / name).write_text("mine")
    remove_partial(folder)
    assert {path.name for path in folder.iterdir()} == others


@EVERYBODY
def test_a_link_with_such_a_name_stays(who: Who, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    folder = tmp_path / "in"
    folder.mkdir()
    ours = half_written(folder / "a", b"half")
    ours.unlink()
    ours.symlink_to(elsewhere)
    who(lambda: remove_partial(folder), tmp_path)
    assert ours.is_symlink()
    assert elsewhere.read_text() == "precious"


@EVERYBODY
def test_a_folder_of_ours_is_no_link(who: Who, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "parts").symlink_to(tmp_path / "home")

    def make() -> None:
        with pytest.raises(InputError, match="is a link"):
            make_own_folder(tmp_path / "parts")

    who(make, tmp_path)


@given(st.text(max_size=300))
def test_a_safe_name_stays_in_its_folder(text: str) -> None:
    for name in (safe_name(text), file_name(text)):
        assert Path("folder", name).resolve().parent == Path("folder").resolve()
        assert len(name.encode()) <= 200
        assert not name.startswith((".", "-"))
        assert safe_name(name) == name


@given(st.lists(st.text(max_size=300), max_size=8))
def test_distinct_names_are_distinct_where_case_counts_for_nothing(texts: list[str]) -> None:
    found = distinct_names(texts)
    assert len({name.casefold() for name in found.values()}) == len(set(texts))
