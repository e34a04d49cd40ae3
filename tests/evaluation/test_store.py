"""The report directory takes nothing away that it has not written, and writes nothing elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robustbench_aig.errors import InputError, RunError
from robustbench_aig.evaluation.store import Store
from tests.evaluation.conftest import contents, evaluator, make

DOTFILES = (".bashrc", ".profile", ".ssh", ".partial")


@pytest.mark.parametrize("folder", ["parts", "samples", "images"])
def test_a_home_that_a_link_leads_to_keeps_its_dotfiles(folder: str, tmp_path: Path) -> None:
    home, directory = tmp_path / "home", tmp_path / "report"
    home.mkdir()
    directory.mkdir()
    for name in DOTFILES:
        (home / name).write_text("precious")
    (directory / folder).symlink_to(home)
    with pytest.raises(InputError, match=f"{directory / folder} is a link"):
        Store(directory).open(make(), resume=True)
    assert {path.name: path.read_text() for path in home.iterdir()} == dict.fromkeys(DOTFILES, "precious")


def test_files_of_others_stay_where_they_are(finished: Path, tmp_path: Path) -> None:
    for folder in ("", "parts", "samples", "images"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / ".notes").write_text("precious")
    list(evaluator(tmp_path, make()))
    for folder in ("", "parts", "samples", "images"):
        assert (tmp_path / folder / ".notes").read_text() == "precious"
        (tmp_path / folder / ".notes").unlink()
    assert contents(tmp_path) == contents(finished)


@pytest.mark.parametrize("name", ["../../x", "/x", "a/b", "..", ".x", "", "x\n", "x" * 300])
def test_a_plan_names_no_file_elsewhere(name: str, tmp_path: Path) -> None:
    content = make().model_dump(mode="json")
    content["evaluations"][0]["id"] = name
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"(?s)evaluations\.0\.id: .* is no name of a file"):
        Store(tmp_path).open(make(), resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
