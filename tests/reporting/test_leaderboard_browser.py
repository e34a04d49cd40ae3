"""The leaderboard in a real browser, as `test_browser` does for the report."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from robustbench_aig.reporting.leaderboard import board_page, leaderboard

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(written: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("board")
    (folder / "one").mkdir()
    (folder / "one" / "report.json").write_bytes((written / "report.json").read_bytes())
    (folder / "two").mkdir()
    (folder / "two" / "report.json").write_text("{")
    (folder / "three").mkdir()
    others = (written / "report.json").read_text().replace("ab12", "cd98")
    (folder / "three" / "report.json").write_text(others)
    page = folder / "leaderboard.html"
    page.write_text(board_page(leaderboard(folder)))
    return page.as_uri()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")])
def test_page_is_silent_fits_and_is_accessible(
    browser: Browser, address: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    page.mouse.move(200, 200)
    assert (requests, complaints) == ([address], [])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [(v["id"], [node["html"][:120] for node in v["nodes"][:3]]) for v in found] == []
    context.close()
