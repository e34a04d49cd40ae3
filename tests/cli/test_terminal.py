"""Names of anybody on terminals of any kind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_aig.cli.terminal import stdout
from robustbench_aig.errors import printable
from tests.command import COMMAND, aigrob_here, refused

EVIL = "\x1b[31mred\x1b[0m\x07\x9b2J\u202e"


@pytest.mark.parametrize(
    "name",
    ["../../x", "a/b", "a\\b", "", " ", ".", "..", ".hidden", "x" * 300, "ä" * 150, "a\nb", "\x1b[2J", "\udcff"],
)
@pytest.mark.parametrize("command", [["attack"], ["inspect", "gated"], ["train", "digits/aig14"], ["import", "w.pt"]])
def test_a_name_that_no_folder_should_have_is_refused_first(command: list[str], name: str, tmp_path: Path) -> None:
    refused(aigrob_here(tmp_path, *command, "--name", name), "--name")
    assert not list(tmp_path.iterdir())


@given(st.text())
def test_printable_text_has_nothing_that_moves_a_cursor(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert all(letter.isprintable() or letter in "\t\n" or ord(letter) >= 0xA0 for letter in shown)
    if text.isprintable():
        assert shown == text


def test_control_characters_of_a_record_never_reach_the_terminal(pair: Path, tmp_path: Path) -> None:
    shutil.copytree(pair / "plain", tmp_path / "runs" / "plain")
    file = tmp_path / "runs" / "plain" / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"name": EVIL}))
    for arguments in (["plain", "--limit", "10"], ["plain", "--policy", "argmax"]):
        shown = aigrob_here(tmp_path, "inspect", *arguments)
        told = shown.stdout + shown.stderr
        assert r"\x1b[31mred" in told
        assert not set("\x1b\x07\x9b\u202e") & set(told)


def test_a_table_s_cells_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table("network")
    table.add_row(EVIL)
    stdout().print(table)
    shown = capsys.readouterr().out
    assert r"\x1b[31mred" in shown
    assert not set("\x1b\x07\x9b\u202e") & set(shown)


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "utf-8"])
def test_every_encoding_prints(encoding: str, tmp_path: Path) -> None:
    told = subprocess.run(
        [*COMMAND, "models"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert "resnet" in told.stdout.decode(encoding)
