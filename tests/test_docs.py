"""The documentation: its Python runs, and its links lead somewhere."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.test_architecture import ROOT

PAGES = sorted(path for path in ROOT.rglob("*.md") if not any(part.startswith(".") for part in path.parts))


def test_the_python_of_the_page_on_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert (tmp_path / "reports" / "linear" / "report.html").exists()
    assert names["Block"]().eval()(names["torch"].rand(2, 16, 8, 8)).shape == (2, 16, 8, 8)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    found = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in found if "://" not in link and not (page.parent / link).exists()]
    assert not missing
