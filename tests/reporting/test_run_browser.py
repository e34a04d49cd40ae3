"""The page of a run in a real browser, as `test_browser` does for the report."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from robustbench_aig.reporting.run_page import write_run_page
from tests.reporting import trained

pytestmark = pytest.mark.browser


def write(where: Path, kind: str) -> Path:
    if kind == "attacked":
        return trained.write(where, *trained.adversarial_run())
    if kind == "unfinished":
        of = trained.recipe(family="plain")
        past = trained.history(of, 1)
        return trained.write(where, trained.unfinished(of, past, name="long_" * 20), past)
    of = trained.recipe(depth=110, epochs=349, steps=[150, 250])
    past = trained.history(of)
    return trained.write(where, trained.run(of, past), past)


@pytest.fixture(scope="module", params=["attacked", "unfinished", "deep"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = write(tmp_path_factory.mktemp("runs") / "made", request.param)
    write_run_page(directory)
    return (directory / "run.html").as_uri()


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
    assert requests == [address]
    assert complaints == []
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")])
def test_page_fits_and_is_accessible(
    browser: Browser, address: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.goto(address)
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
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


def test_names_of_gates_stand_beside_their_rows(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    page.goto(address)
    for field in page.locator(".map .field").all():
        names, drawing = field.locator(".names").bounding_box(), field.locator("svg").bounding_box()
        assert names is not None
        assert drawing is not None
        assert names["height"] == pytest.approx(drawing["height"], abs=1)
        rows = [one.bounding_box() for one in field.locator(".names span").all()]
        heights = [row["height"] for row in rows if row]
        assert heights == pytest.approx([drawing["height"] / len(heights)] * len(heights), abs=1)
    context.close()


def test_hover_tells_the_number(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    page.goto(address)
    point = page.locator("[aria-roledescription='point'][aria-label^='cross-entropy, epoch']").last
    said = point.get_attribute("aria-label")
    point.hover()
    assert page.inner_text("#tip") == said
    context.close()
