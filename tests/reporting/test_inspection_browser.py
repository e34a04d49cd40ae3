"""The page of an inspection in a real browser, as `test_browser` does for the report."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from robustbench_aig.reporting.inspection_page import write_inspection
from tests.reporting.inspected import inspection, pixels

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", params=["gated", "plain"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    directory: Path = tmp_path_factory.mktemp("inspection")
    of = inspection(gated=request.param == "gated")
    write_inspection(directory, of, pixels(of))
    return (directory / "inspect.html").as_uri()


def test_page_is_silent_and_loads_only_itself(browser: Browser, address: str) -> None:
    page = browser.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    page.mouse.move(400, 400)
    page.wait_for_load_state("networkidle")
    assert [url for url in requests if not url.startswith("data:")] == [address]
    assert complaints == []
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")])
def test_page_fits_and_is_accessible(
    browser: Browser, address: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [(v["id"], [node["html"][:120] for node in v["nodes"][:3]]) for v in found] == []
    context.close()


def test_page_is_the_same_without_a_script(browser: Browser, address: str) -> None:
    seen = []
    for script in (True, False):
        context = browser.new_context(java_script_enabled=script, offline=True)
        page = context.new_page()
        page.goto(address)
        seen.append(page.locator("main").evaluate("main => main.innerHTML"))
        context.close()
    assert seen[0] == seen[1]


def test_hover_tells_the_number(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    page.goto(address)
    page.locator(".picture [aria-label^='without block 3.3']").first.hover()
    assert page.inner_text("#tip").startswith("without block 3.3: 78.0")
    if page.locator(".heat").count():
        page.locator("[data-rows='blocks'] td").first.hover()
        assert "blocks 1, all: " in page.inner_text("#tip") or "blocks 2, all: " in page.inner_text("#tip")
    context.close()
