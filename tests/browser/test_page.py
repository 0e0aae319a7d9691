"""The page in a real browser: it stands at any width, by day and night, with and without its script, by mouse and by keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from robustbench_cv.registry import load_file
from robustbench_cv.rendering.page import page as rendered
from robustbench_cv.rendering.write_report import build_items

synthetic = load_file(Path(__file__).parents[1] / "synthetic_results.py")
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH (apt-get install chromium)")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run with a warning and a stop, with long names and two classifiers."""
    results = synthetic.make(
        tmp_path_factory.mktemp("run"),
        n=6,
        models={"classification": ("a-model-with-a-name-that-goes-on-and-on-without-a-break-in-it", "lenet5")},
        findings=(synthetic.PASS, synthetic.WARN, synthetic.STOP),
    )
    file: Path = tmp_path_factory.mktemp("page") / "index.html"
    file.write_text(rendered(results, build_items(results, synthetic.REPORTS), "index.html"), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def view(browser: Browser, address: str) -> Iterator[Page]:
    """The page at desktop width; whatever it asked for or complained of fails the test."""
    context = browser.new_context(viewport={"width": 1300, "height": 900}, color_scheme="light", reduced_motion="reduce")
    made = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    made.on("console", lambda message: said.append(message.text))
    made.on("pageerror", lambda error: said.append(str(error)))
    made.on("request", lambda request: asked.append(request.url))
    made.goto(address)
    yield made
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert len([url for url in asked if url.startswith("file:")]) == 1


LOOK = """() => {
  const gone = [...document.querySelectorAll('a[href^="#"], use')].filter(a => !document.getElementById(a.getAttribute("href").slice(1)));
  const clipped = [...document.querySelectorAll("h1, h2, h3, h4, .card dd, .banner, .tile p, summary")]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline");
  const out = [...document.querySelectorAll("main *")]
    .filter(e => !e.closest(".scroll, .symbols, svg, thead") && e.getBoundingClientRect().right > innerWidth + 1);
  return {wide: document.documentElement.scrollWidth - innerWidth, gone: gone.length, clipped: clipped.length, out: out.length,
          images: document.images.length, broken: [...document.images].filter(i => !i.naturalWidth).length,
          chapters: document.querySelectorAll("main .chapter h2").length};
}"""


@pytest.mark.parametrize("width", [1300, 600, 390])
def test_nothing_is_broken_cut_or_too_wide(view: Page, width: int) -> None:
    view.set_viewport_size({"width": width, "height": 900})
    seen = view.evaluate(LOOK)
    assert seen["images"] >= 12
    assert seen["chapters"] == 4
    assert {name: seen[name] for name in ("wide", "gone", "clipped", "out", "broken")} == dict.fromkeys(
        ("wide", "gone", "clipped", "out", "broken"), 0
    )


def _column(view: Page, table: str, column: int) -> list[str]:
    """The values of the first block of a table, as the page shows them."""
    found: list[str] = (
        view.locator(f"#{table} tbody")
        .first.locator("tr:not(.block)")
        .evaluate_all(
            "(rows, column) => rows.map(row => (row.children[column].querySelector('.value') || row.children[column]).textContent)", column
        )
    )
    return found


def test_a_table_is_sorted_by_value_with_mouse_and_keyboard(view: Page) -> None:
    head = view.locator("#main-classification thead tr.names th").nth(1)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    numbers = [float(text) for text in _column(view, "main-classification", 1) if text != "–"]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) > 2
    assert 100.0 in numbers or max(numbers) > 9.9, "a text would rank 9 above 80"
    head.get_by_role("button").focus()
    view.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert [float(text) for text in _column(view, "main-classification", 1) if text != "–"] == sorted(numbers)
    undefined = [text == "–" for text in _column(view, "main-classification", 1)]
    assert undefined == sorted(undefined), "what has no value comes last"
    assert view.locator("#main-classification [aria-sort]").count() == 1


def test_rows_are_filtered_by_every_word(view: Page) -> None:
    figure = view.locator("#main-classification")
    figure.get_by_label("Filter rows").fill("lenet pgd-8")
    shown = figure.locator("tbody tr:not(.block):visible")
    assert [text.split()[0] for text in shown.all_inner_texts()] == ["pgd-8"]
    assert figure.locator("tr.block:visible").count() == 1
    assert figure.locator(".find").inner_text().endswith("rows")
    figure.get_by_label("Filter rows").fill("")
    assert shown.count() > 20


def test_pictures_are_filtered_by_condition_and_outcome(view: Page) -> None:
    pictures = view.locator("#pictures-detection")
    tiles = pictures.locator(".tile:visible:not(.clean)")
    before = tiles.count()
    pictures.get_by_role("combobox", name="Outcome").select_option("broken")
    assert 0 < tiles.count() < before
    assert set(tiles.evaluate_all("all => all.map(tile => tile.dataset.outcome)")) == {"broken"}
    pictures.get_by_role("combobox", name="Outcome").select_option("")
    pictures.get_by_role("combobox", name="Condition").select_option("pgd-4")
    assert set(tiles.evaluate_all("all => all.map(tile => tile.dataset.condition)")) == {"pgd-4"}
    assert pictures.locator(".find").inner_text().endswith(f"{tiles.count()} pictures")


def test_layers_need_no_script(browser: Browser, address: str) -> None:
    """Without its script the page shows every row, every picture and every layer."""
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1300, "height": 900})
    view = context.new_page()
    view.goto(address)
    assert view.locator("#main-classification tbody tr").count() > 20
    gallery = view.locator("#pictures-detection .gallery")
    assert gallery.locator("g.truth").first.is_visible()
    assert not gallery.locator("use.diff").first.is_visible()
    gallery.get_by_label("difference").check()
    assert gallery.locator("use.diff").first.is_visible()
    assert view.locator("summary").first.is_visible()
    context.close()


def test_a_picture_is_enlarged_compared_and_closed_by_keyboard(view: Page) -> None:
    button = view.locator("#pictures-detection .tile button").nth(1)
    button.focus()
    view.keyboard.press("Enter")
    dialog, slide = view.get_by_role("dialog"), view.get_by_role("slider")
    assert dialog.is_visible()
    first = dialog.get_by_role("heading").inner_text()
    view.keyboard.press("ArrowRight")
    assert slide.input_value() == "51"
    assert dialog.locator(".stage").evaluate("stage => stage.style.getPropertyValue('--cut')") == "51%"
    dialog.get_by_role("button", name="Next").press("Enter")
    assert dialog.get_by_role("heading").inner_text() != first
    assert slide.input_value() == "51", "the next picture keeps the slider where it was"
    view.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert button.evaluate("one => one === document.activeElement")


def test_the_slider_follows_the_mouse(view: Page) -> None:
    view.locator("#pictures-segmentation .tile button").nth(2).click()
    box = view.get_by_role("slider").bounding_box()
    assert box is not None
    view.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2)
    assert int(view.get_by_role("slider").input_value()) > 80
    view.get_by_role("dialog").get_by_role("button", name="Close").click()
    assert view.locator("dialog[open]").count() == 0


def test_figures_are_enlarged_too(view: Page) -> None:
    view.get_by_role("button", name="Enlarge: Overview").first.click()
    assert view.locator("dialog img").is_visible()
    view.keyboard.press("Escape")


GROUND = "() => getComputedStyle(document.body).backgroundColor"


def test_night_follows_the_system_until_the_button_is_pressed(view: Page) -> None:
    day = view.evaluate(GROUND)
    view.emulate_media(color_scheme="dark")
    night = view.evaluate(GROUND)
    assert night != day
    button = view.locator("button.theme")
    assert button.inner_text() == "Light theme"
    button.press("Enter")
    assert view.evaluate(GROUND) == day
    assert button.inner_text() == "Dark theme"
    view.emulate_media(color_scheme="light")
    button.click()
    assert view.evaluate(GROUND) == night


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(view: Page, scheme: Any) -> None:
    view.emulate_media(color_scheme=scheme)
    found = Axe().run(view)
    serious = [(v["id"], v["nodes"][0]["html"][:120]) for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert serious == []
    assert len(found["passes"]) > 20


def test_paper_shows_everything_in_black_on_white(view: Page) -> None:
    view.emulate_media(media="print", color_scheme="dark")
    assert view.evaluate(GROUND) == "rgb(255, 255, 255)"
    wide = "() => [...document.querySelectorAll('.scroll')].filter(e => getComputedStyle(e).overflowX !== 'visible').length"
    assert view.evaluate(wide) == 0
    assert not view.locator("nav").is_visible()
    folded = view.locator("details:not([open]) td").first
    assert folded.evaluate("cell => cell.checkVisibility({contentVisibilityAuto: true})")


def test_a_link_into_something_folded_unfolds_it(view: Page) -> None:
    folded = view.locator("details:not([open]) figure[id]").first
    name = folded.get_attribute("id")
    assert not folded.is_visible()
    view.evaluate("name => { location.hash = name; }", name)
    view.wait_for_function("name => document.getElementById(name).checkVisibility()", arg=name)
