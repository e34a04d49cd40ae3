"""The leaderboard in a real browser, as `test_browser` does for the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

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


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900}, offline=True)
    page = context.new_page()
    page.goto(address)
    yield page
    context.close()


def networks(page: Page) -> list[str]:
    """What is shown, table by table."""
    return [name.strip() for name in page.locator(".board:not([hidden]) tbody tr:not([hidden]) th").all_text_contents()]


def test_a_click_on_a_head_sorts(opened: Page) -> None:
    board = opened.locator(".board").first
    column = [head.strip() for head in board.locator("thead th").all_text_contents()].index("Robust")
    for way, order in (("ascending", 1), ("descending", -1)):
        board.get_by_role("button", name="Robust", exact=True).click()
        keys = f"rows => rows.map(row => Number(row.cells[{column}].dataset.key))"
        told = board.locator("tbody tr").evaluate_all(keys)
        assert told == sorted(told, reverse=order < 0)
        assert board.locator("thead th").nth(column).get_attribute("aria-sort") == way


def test_what_is_chosen_is_shown_counted_and_linked(opened: Page, browser: Browser, address: str) -> None:
    every = networks(opened)
    opened.get_by_label("Network", exact=True).fill("RESNET")
    shown = networks(opened)
    assert shown == [name for name in every if "resnet" in name] != every
    assert opened.get_by_role("status").text_content() == f"Shown: {len(shown)} of {len(every)} rows."
    opened.get_by_label("Threat").select_option(index=1)
    assert len(networks(opened)) < len(shown)
    linked = browser.new_page()
    linked.goto(opened.url)
    assert networks(linked) == networks(opened)
    linked.close()
    opened.get_by_role("button", name="Show all").click()
    assert networks(opened) == every


def test_without_a_script_all_is_there(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(address)
    assert page.locator("#board-choose").is_hidden()
    assert page.locator(".board").count() == 8  # two sets of images, two threats, deterministic and stochastic
    assert page.locator(".board[open]").count() == 4
    context.close()


@pytest.mark.parametrize("width", [390, 1400])
def test_no_column_is_out_of_sight_without_a_sign(browser: Browser, address: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(address)
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    boxes = page.locator(".scroll:has(table)").all()
    hidden = [box for box in boxes if box.evaluate("one => one.scrollWidth > one.clientWidth + 1")]
    assert hidden == [] or width < 1400
    assert all("gradient" in box.evaluate("one => getComputedStyle(one).backgroundImage") for box in hidden)
    page.close()
