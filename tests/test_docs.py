"""The documentation: its Python runs, and its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.test_architecture import ROOT

PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)


def test_the_python_of_the_page_on_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert (tmp_path / "reports" / "linear" / "report.html").exists()
    assert names["Block"]().eval()(names["torch"].rand(2, 16, 8, 8)).shape == (2, 16, 8, 8)


def test_they_are_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs", ".", str(tmp_path)]
    built = subprocess.run(
        [*command, "-d", str(tmp_path / "trees")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    commands = (tmp_path / "docs" / "commands.html").read_text()
    assert all(f"--{option}" in commands for option in ("eps", "suite", "preset", "into"))
    # A key of a recipe, one inside another, and a field of the report, with what is said of them.
    for page, key, meaning in (
        ("recipes", "survival", "probability that the last block runs"),
        ("recipes", "beta", "weight of the divergence"),
        ("report", "recovered", "null where nothing was saved"),
    ):
        text = (tmp_path / "docs" / f"{page}.html").read_text()
        assert key in text
        assert meaning in text


def test_pages_are_found_wherever_the_checkout_lies() -> None:
    assert {"README.md", "docs/index.md", "reports/reference/README.md"} <= {str(p.relative_to(ROOT)) for p in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    found = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in found if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_every_decision_has_a_number_of_its_own() -> None:
    files = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [file.name[:4] for file in files] == [f"{number:04}" for number in range(1, len(files) + 1)]
    assert [int(file.read_text().split(".")[0].removeprefix("# ")) for file in files] == [*range(1, len(files) + 1)]
