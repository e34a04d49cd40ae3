"""The page in a real browser: silent, self-contained, accessible, and usable on a phone and by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting import words, write_report
from tests.reporting.synthetic import Study, make_study, trained, with_many_attacks, with_seeds

pytestmark = pytest.mark.browser

Scheme = Literal["light", "dark"]


SCREENS = [(1400, 900), (390, 844)]
"""Of a laptop and of a phone."""


def open_page(
    browser: Browser, directory: Path, *, width: int = 1280, scheme: Scheme = "light", script: bool = True
) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script, offline=True
    )
    page = context.new_page()
    page.goto((directory / "report.html").as_uri())
    page.eval_on_selector_all("details.section", "all => all.forEach(one => { one.open = true; })")
    return page


def test_page_is_silent_and_loads_only_itself(browser: Browser, written: Path) -> None:
    page = browser.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((written / "report.html").as_uri())
    page.mouse.move(400, 400)
    page.wait_for_load_state("networkidle")
    assert [url for url in requests if not url.startswith("data:")] == [(written / "report.html").as_uri()]
    assert complaints == []
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light")])
def test_page_fits_and_is_accessible(browser: Browser, written: Path, width: int, scheme: Scheme) -> None:
    page = open_page(browser, written, width=width, scheme=scheme)
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [(v["id"], [node["html"][:120] for node in v["nodes"][:3]]) for v in found] == []
    page.context.close()


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_the_first_screen_answers_all_three_questions(browser: Browser, written: Path, width: int, height: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto((written / "report.html").as_uri())
    told = page.locator(".answer-card h2, .answer-card .told strong").all()
    assert len(told) == 3 + 3 * 2
    for one in told:
        box = one.bounding_box()
        assert box
        if width > height:
            assert box["y"] + box["height"] <= height, one.inner_text()
    # On a phone each question and the answer for deterministic gates, which is the first.
    first = page.locator(".answer-card .told:first-of-type strong").last.bounding_box()
    assert first
    assert first["y"] + first["height"] <= height
    page.close()


def test_a_link_opens_what_it_leads_to(browser: Browser, written: Path) -> None:
    page = browser.new_page()
    page.goto((written / "report.html").as_uri())
    assert not page.locator("#rates .heat").first.is_visible()
    page.get_by_role("navigation").get_by_role("link", name="Execution rates").click()
    assert page.locator("#rates .heat").first.is_visible()
    page.goto((written / "report.html").as_uri() + "#costs")
    page.reload()
    assert page.locator("#costs table").first.is_visible()
    page.close()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds of each network, and fourteen attacks."""
    directory = tmp_path_factory.mktemp("many")
    write_report(with_many_attacks(with_seeds(make_study(), 3)).write(directory))
    return directory


def test_a_page_of_many_is_small(many: Path) -> None:
    sizes = {name: (many / name).stat().st_size / 2**20 for name in ("report.html", "report.json")}
    assert sizes["report.html"] < 2
    assert sizes["report.json"] < 3


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_a_page_of_many_is_short_as_it_opens(browser: Browser, many: Path, width: int, height: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto((many / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollHeight") < 6000
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    open_rows = [table.locator("tbody tr:visible").count() for table in page.locator("table:visible").all()]
    assert max(open_rows) <= words.OPEN_ROWS
    page.close()


@pytest.mark.parametrize("width", [1400, 390])
def test_no_column_is_out_of_sight_without_a_sign(browser: Browser, written: Path, width: int) -> None:
    """At 1400 pixels every table fits; where one doesn't, a shade at its edge says that there is more."""
    page = open_page(browser, written, width=width)
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    boxes = page.locator(".scroll:has(table)").all()
    hidden = [box for box in boxes if box.evaluate("one => one.scrollWidth > one.clientWidth + 1")]
    assert hidden == [] or width < 1400, [box.get_attribute("aria-label") for box in hidden]
    assert all("gradient" in box.evaluate("one => getComputedStyle(one).backgroundImage") for box in hidden)
    page.context.close()


def test_every_setting_is_read_without_scrolling(browser: Browser, study: Study, tmp_path: Path) -> None:
    known = {"test_rates": {"argmax": 1 / 3}, "validation_accuracy": {"sampled": 2 / 3}}
    training = trained(hardened=True).model_copy(update=known)
    models = [model.model_copy(update={"training": training}) for model in study.plan.models]
    write_report(Study(study.plan.model_copy(update={"models": models}), study.rows).write(tmp_path))
    page = open_page(browser, tmp_path, width=1280)
    tables = page.locator("#provenance .scroll:has(.pairs)")
    assert tables.count() > 2
    assert tables.evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth)")
    page.context.close()


def test_on_paper_nothing_is_cut_off_and_what_is_folded_says_so(browser: Browser, study: Study, tmp_path: Path) -> None:
    plan = study.plan.model_copy(update={"command": "aigrob attack " + "--attack pgd:steps=10,step=0.25 " * 20})
    write_report(Study(plan, study.rows).write(tmp_path))
    page = open_page(browser, tmp_path, width=718)  # 190 mm
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    command = page.locator("#provenance pre")
    assert command.evaluate("one => one.scrollWidth <= one.clientWidth")
    box = command.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 718
    folded = page.locator("details:not([open]) > summary")
    said = folded.evaluate_all("all => all.map(one => getComputedStyle(one, '::after').content)")
    assert said
    assert all("folded here" in one for one in said)
    assert not page.locator("#image-outcomes-shown").is_visible()
    page.context.close()


def test_long_names_of_many_attacks_fit_a_phone(browser: Browser, tmp_path: Path) -> None:
    write_report(with_many_attacks(make_study()).write(tmp_path))
    page = open_page(browser, tmp_path, width=390)
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.context.close()


def test_the_label_of_an_attack_opens_its_settings(browser: Browser, tmp_path: Path) -> None:
    write_report(with_many_attacks(make_study()).write(tmp_path))
    page = open_page(browser, tmp_path, width=1280)
    page.evaluate("location.hash = 'accuracy'")
    label = page.locator("#accuracy a.attack").first
    name, listed = label.get_attribute("title") or "", page.locator(label.get_attribute("href") or "")
    assert not listed.is_visible()
    label.click()
    assert listed.is_visible()
    assert name in (listed.text_content() or "")
    page.context.close()


def test_page_without_controls_is_accessible(browser: Browser, tmp_path: Path) -> None:
    study = make_study()
    attacks = [e for e in study.plan.evaluations if e.role != "control"]
    plan = study.plan.model_copy(update={"evaluations": attacks})
    Study(plan, {e.id: study.rows[e.id] for e in attacks}).write(tmp_path)
    write_report(tmp_path)
    page = open_page(browser, tmp_path)
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    found = Axe().run(page).response["violations"]
    assert [(v["id"], [node["html"][:120] for node in v["nodes"][:3]]) for v in found] == []
    page.context.close()


def test_selects_and_the_slider_choose_the_heat_map(browser: Browser, written: Path) -> None:
    page = open_page(browser, written)
    assert "gated · argmax, pgd, ε = 8/255" in page.inner_text("#heat-shown")
    before = page.inner_text("#heat-maps")
    page.get_by_role("combobox", name="Model and gates").select_option("gated · sampled")
    page.get_by_role("combobox", name="Attack").select_option("fgsm")
    slider = page.get_by_role("slider", name="Perturbation budget")
    slider.press("ArrowLeft")
    assert "gated · sampled, fgsm, ε = 4/255" in page.inner_text("#heat-shown")
    assert slider.get_attribute("aria-valuetext") == "ε = 4/255 (L∞)"
    assert page.inner_text("#heat-maps") != before
    page.context.close()


def test_the_slider_moves_the_rates_from_clean_to_attacked(browser: Browser, written: Path) -> None:
    """At the left end nothing has changed, by the attack and by noise; then the cells are those of the report."""
    page = open_page(browser, written)
    report = load_report(written)
    slider = page.get_by_role("slider", name="Perturbation budget")

    def cells(kind: str) -> list[str]:
        found: list[str] = page.locator(f".heat[data-kind={kind}] tbody tr td:nth-child(2)").all_inner_texts()
        return found

    slider.press("Home")
    assert "gated · argmax, pgd, clean" in page.inner_text("#heat-shown")
    assert cells("attacked") == cells("clean")
    assert set(cells("change")) == set(cells("noise")) == {"0"}
    for eps in ("4/255", "8/255"):
        slider.press("ArrowRight")
        for kind, attack in (("attacked", "pgd"), ("noise", "corners")):
            (gates,) = (
                e.gates
                for e in report.evaluations
                if (e.gate_policy, e.attack) == ("argmax", attack) and e.threat and e.threat.eps == eps and e.gates
            )
            after = [gate.rate_adv - (gate.rate_clean if kind == "noise" else 0) for gate in gates.per_gate]
            read = [float(text.replace("\u2212", "-")) for text in cells(kind)]
            assert read == pytest.approx([100 * value for value in after], abs=0.56)
    page.context.close()


def test_the_table_of_images_is_filtered_and_sorted(browser: Browser, written: Path) -> None:
    page = open_page(browser, written)
    page.locator("#image-outcomes summary", has_text="The table of").click()
    rows = page.locator("#image-outcomes-table tbody tr")
    everything = rows.count()
    assert page.inner_text("#image-outcomes-shown") == f"Shown: {everything} of {everything} images."

    def column(place: int) -> list[str]:
        cells = f"#image-outcomes-table tbody tr:visible > :nth-child({place})"
        found: list[str] = page.locator(cells).all_inner_texts()
        return found

    page.get_by_role("combobox", name="Class").select_option("two")
    kept = column(3)
    assert set(kept) == {"two"}
    assert 0 < len(kept) < everything
    assert page.inner_text("#image-outcomes-shown") == f"Shown: {len(kept)} of {everything} images."
    page.get_by_role("combobox", name="Class").select_option("")
    page.get_by_role("searchbox", name="Containing").fill("PGD")
    assert 0 < len(column(2)) < everything
    assert all("pgd" in text for text in rows.locator("visible=true").all_inner_texts())
    page.get_by_role("searchbox", name="Containing").fill("")
    for name, place in (("Image", 2), ("Outcome", 4)):
        head = page.locator("#image-outcomes-table").get_by_role("columnheader", name=name)
        button = head.get_by_role("button")
        button.click()
        assert head.get_attribute("aria-sort") == "ascending"
        ascending = column(place)
        assert ascending == sorted(ascending, key=int if name == "Image" else str)
        button.press("Enter")
        assert head.get_attribute("aria-sort") == "descending"
        assert column(place) == sorted(ascending, key=int if name == "Image" else str, reverse=True)
    page.get_by_role("columnheader", name="gated · sampled").get_by_role("button").click()
    order = ["clean", "4/255", "8/255", "robust"]
    places = [order.index(text.split()[0]) for text in column(7)]
    assert places == sorted(places)
    assert len(set(places)) > 2
    page.context.close()


def test_script_draws_what_stands_there_without_it(browser: Browser, written: Path) -> None:
    drawn = []
    for script in (True, False):
        page = open_page(browser, written, script=script)
        drawn.append(
            page.locator("#heat-maps tbody").evaluate_all("all => all.map(one => one.innerHTML.replace(/\\s/g, ''))")
        )
        assert page.locator("#heat-choose").is_visible() == script
        page.context.close()
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 4


def test_hover_tells_the_number(browser: Browser, written: Path) -> None:
    page = open_page(browser, written)
    # Points of the line that is drawn last lie above all others.
    mark = page.locator(".answer-card [aria-label^='stochastic (sampled) gates, clean: ']").first
    said = mark.get_attribute("aria-label")
    assert said
    mark.hover()
    assert page.inner_text("#tip") == said
    page.locator(".heat td").first.hover()
    assert "gate 1.1, all:" in page.inner_text("#tip")
    page.mouse.move(2, 2)
    assert page.locator("#tip").is_hidden()
    page.context.close()


def test_keyboard_reaches_what_can_be_used(browser: Browser, written: Path) -> None:
    page = open_page(browser, written)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    names = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        names.add(page.evaluate("document.activeElement.tagName"))
    assert {"A", "SELECT", "SUMMARY", "DIV"} <= names
    page.context.close()
