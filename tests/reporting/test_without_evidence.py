"""A report.json that came without sample tables, plan and images."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting import write_report
from tests.command import aigrob_here, printed, refused
from tests.reporting.synthetic import make_study
from tests.test_architecture import ROOT

REFERENCE = sorted(ROOT.glob("reports/reference/*/report.json"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report directory with all its evidence."""
    directory = make_study(0).write(tmp_path_factory.mktemp("whole"))
    write_report(directory)
    return directory


def sections(html: str) -> dict[str, str]:
    """By their ids."""
    named = r'<(section|details class="section") id="([\w-]+)"(.*?)(?=<section |<details class="section"|</main>)'
    return {name: text for _, name, text in re.findall(named, html, re.DOTALL)}


@pytest.mark.parametrize("beside", [[], ["report.schema.json"], ["plan.json"], ["plan.json", "times.json"]])
def test_it_is_rendered_and_says_what_is_missing(beside: list[str], whole: Path, tmp_path: Path) -> None:
    lone = tmp_path / "got by mail"
    lone.mkdir()
    for name in ["report.json", *beside]:
        shutil.copy(whole / name, lone)
    before = (lone / "report.json").read_bytes()
    result = aigrob_here(tmp_path, "report", "got by mail")
    assert (result.returncode, result.stderr) == (0, "")
    assert "report: got by mail/report.html" in result.stdout
    assert printed(result) == []
    assert (lone / "report.json").read_bytes() == before
    page, full = ((folder / "report.html").read_text() for folder in (lone, whole))
    assert "Made without the evidence" in page
    assert "Made without the evidence" not in full
    # What rests on report.json is the same.
    of_page, of_full = sections(page), sections(full)
    assert of_page["accuracy"] == of_full["accuracy"]
    assert of_full.keys() - of_page.keys() == {"image-outcomes"}
    assert 'id="image-outcomes-table"' in full
    assert 'id="image-outcomes-table"' not in page
    assert "Missing on this page" not in page


def test_a_file_of_any_name_gets_a_page_beside_it(whole: Path, tmp_path: Path) -> None:
    shutil.copy(whole / "report.json", tmp_path / "theirs.json")
    result = aigrob_here(tmp_path, "report", "theirs.json", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["digest"] == load_report(whole).digest
    assert "Made without the evidence" in (tmp_path / "theirs.html").read_text()


def test_beside_its_evidence_it_is_made_of_that(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "r")
    assert aigrob_here(tmp_path, "report", "r/report.json").returncode == 0
    assert (tmp_path / "r" / "report.html").read_bytes() == (whole / "report.html").read_bytes()


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    refused(aigrob_here(tmp_path, "report", "other.json"), "other.json")
    (tmp_path / "folder").mkdir()
    refused(aigrob_here(tmp_path, "report", "folder"), "no report directory")


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.parent.name)
def test_published_reports_of_earlier_versions(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path)
    result = aigrob_here(tmp_path, "report", ".")
    assert result.returncode == 0, result.stderr
    assert "Made without the evidence" in (tmp_path / "report.html").read_text()
