"""The pages in a browser: at three widths, in light and dark, on paper, with a mouse, a keyboard, and without scripts.

Skipped where there is no Chromium (Debian: `apt-get install chromium`); Playwright comes with the dev tools.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import thirtytwo

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright (`pip install playwright`)")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

LONG = "a class whose name is a whole sentence, such as museums give to their drawers, number"
NAMES = {
    2: ("cat", "dog"),
    10: (*(f"{LONG} {i}" for i in range(9)), "قطة سوداء صغيرة"),
    40: tuple("<b>bold</b>" if i == 7 else f"class {i}" for i in range(40)),
    200: tuple(f"species {i:03}" for i in range(200)),
}
WIDTHS = (390, 1100, 2000)
FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as started:
        sandbox = os.geteuid() != 0 if hasattr(os, "geteuid") else True  # as root, Chromium starts without one only
        found = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=sandbox)
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[int | str, Path]:
    """The report of a run for each number of classes, and that of a study."""
    root = tmp_path_factory.mktemp("pages")
    made: dict[int | str, Path] = {}
    images = load_digits().images
    for k, names in NAMES.items():
        draw = np.random.default_rng(k)
        count = max(200, 20 * k)
        picked = draw.integers(0, len(images), count)
        labels = np.array(names)[np.arange(count) % k]  # no rule: most answers are wrong, which is what is looked at
        pixels = (images[picked] / 16 * 255).astype(np.uint8)
        run = thirtytwo.train("digits-cnn", data=(pixels, labels), epochs=1, progress=False, out=root, name=f"k{k}")
        made[k] = run.report()
    recipe = root / "study.toml"
    recipe.write_text(
        f'base = "digits-cnn"\nseeds = [0, 1]\n[set]\ntrain.epochs = 1\n[arms.plain]\n'
        f'[arms.{"long-name-" * 5 + "of-an-arm"}]\naugment = "translate(1)"\n'
    )
    study = thirtytwo.run_study(recipe, out=root / "study", progress=False)
    made["study"] = study.report()
    return made


@pytest.fixture(params=[2, 10, 40, 200, "study"], ids=str)
def page_file(request: pytest.FixtureRequest, pages: dict[int | str, Path]) -> Path:
    return pages[request.param]


def opened(context: "playwright.BrowserContext", file: Path) -> "playwright.Page":
    """The page; fails for a message of the console, an error of a script, and a request of anything but this file."""
    page = context.new_page()
    page.on("console", lambda message: pytest.fail(f"console: {message.text}"))
    page.on("pageerror", lambda error: pytest.fail(f"script: {error}"))
    page.on("request", lambda request: request.url.split("#")[0] == file.as_uri() or request.url.startswith("data:")
            or pytest.fail(f"asked for {request.url}"))  # fmt: skip
    page.goto(file.as_uri())
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(
    browser: "playwright.Browser", page_file: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = opened(context, page_file)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    # What is wider than the window scrolls in a box of its own, which is not cut.
    cut = page.evaluate("""() => [...document.querySelectorAll("main *, header *")].filter((element) => {
        const box = element.getBoundingClientRect();
        const inside = element.closest(".scroll, figure, pre, svg, .said, .steps");
        return !inside && box.width && box.right > innerWidth + 1;
    }).map((element) => element.outerHTML.slice(0, 80))""")
    assert cut == []
    paper, ink = page.evaluate("""() => { const style = getComputedStyle(document.body);
        return [style.backgroundColor, style.color]; }""")
    assert (brightness(paper) > brightness(ink)) == (scheme == "light")
    assert contrast(paper, ink) >= 7
    context.close()


def channels(colour: str) -> list[float]:
    return [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]


def brightness(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((brightness(one), brightness(other)))
    return (high + 0.05) / (low + 0.05)


def test_tables_sort_by_number_and_by_name_both_ways(
    browser: "playwright.Browser", pages: dict[int | str, Path]
) -> None:
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page = opened(context, pages[40])
    for details in page.query_selector_all("details"):
        details.evaluate("each => each.open = true")
    for table in page.query_selector_all("table.sort"):
        for column, button in enumerate(table.query_selector_all("thead button")):
            for way in (1, -1):
                button.click()
                texts = [
                    row.evaluate("(row, i) => row.cells[i].dataset.sort ?? row.cells[i].textContent.trim()", column)
                    for row in table.query_selector_all("tbody tr")
                ]
                there = [text for text in texts if text and text != "–"]
                assert texts[: len(there)] == there, "what is missing comes last"
                numbers = [re.match(r"[-−]?[\d.,]+", text) for text in there]
                if all(numbers):
                    values = [float(found[0].replace(",", "").replace("−", "-")) for found in numbers if found]
                    assert values == sorted(values, reverse=way < 0)
                assert button.evaluate("b => b.closest('th').ariaSort") == ("ascending" if way > 0 else "descending")
    context.close()


@pytest.mark.parametrize("script", [True, False], ids=["with scripts", "without"])
def test_pictures_are_enlarged_by_a_click(
    browser: "playwright.Browser", pages: dict[int | str, Path], script: bool
) -> None:
    context = browser.new_context(viewport={"width": 1100, "height": 900}, java_script_enabled=script)
    page = opened(context, pages[10])
    first = page.locator("#wrong-0 img")
    small = first.bounding_box()
    page.locator("#wrong-0 .enlarge").click()
    large = first.bounding_box()
    assert small and large and large["height"] >= 3 * small["height"] and large["height"] > 400
    assert page.locator("#wrong-0 .said").is_visible() and not page.locator("#wrong-1 .said").is_visible()
    page.locator("#wrong-0 .after").click()
    assert page.locator("#wrong-1 .said").is_visible() and not page.locator("#wrong-0 .said").is_visible()
    if script:
        page.keyboard.press("ArrowLeft")
        assert page.locator("#wrong-0 .said").is_visible()
        page.keyboard.press("Escape")
    else:
        page.locator("#wrong-1 .close").click()
    assert not page.locator("#wrong-0 .said").is_visible() and not page.locator("#wrong-1 .said").is_visible()
    context.close()


def test_without_scripts_everything_is_there(browser: "playwright.Browser", page_file: Path) -> None:
    texts = []
    for script in (True, False):
        context = browser.new_context(viewport={"width": 1100, "height": 900}, java_script_enabled=script)
        page = opened(context, page_file)
        texts.append(re.sub(r"[\s↕↑↓]+", " ", page.locator("body").inner_text()))
        context.close()
    assert texts[0] == texts[1] and len(texts[0]) > 500


def test_every_picture_is_described_and_every_heading_is_under_one(
    browser: "playwright.Browser", page_file: Path
) -> None:
    context = browser.new_context()
    page = opened(context, page_file)
    assert page.evaluate("[...document.images].filter((image) => !image.alt).length") == 0
    levels = [int(each.evaluate("h => h.tagName[1]")) for each in page.query_selector_all("h1, h2, h3, h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert page.evaluate("document.documentElement.lang") == "en"
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))
    targets = page.evaluate("""[...document.querySelectorAll('a[href^="#"]')].map((each) => each.hash.slice(1))""")
    assert set(targets) <= set(ids)
    context.close()


def test_on_paper_everything_is_opened(browser: "playwright.Browser", page_file: Path) -> None:
    context = browser.new_context()
    page = opened(context, page_file)
    assert page.pdf(format="A4").startswith(b"%PDF")
    assert page.evaluate("[...document.querySelectorAll('details')].every((each) => each.open)")
    context.close()
