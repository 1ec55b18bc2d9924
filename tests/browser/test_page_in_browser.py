"""The result page in headless Chromium: it opens without a network, and its panels are linked."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from starloom.report.page import build
from starloom.studies.study import configure, execute

CHROMIUM, DRIVER = shutil.which("chromium"), Path("/usr/bin/chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None or not DRIVER.exists(), reason="chromium or chromedriver is not installed"),
]

IDLE = "return typeof Bokeh !== 'undefined' && Bokeh.documents.length === 1 && Bokeh.documents[0].is_idle"
ROWS = "const rows = Bokeh.documents[0].get_model_by_name('explorer_rows');"
# panels by their titles, with the place of their frame in the window
FRAMES = """
const found = [];
for (const root of Bokeh.index) {
    if (root.frame == null) continue;
    const at = root.el.getBoundingClientRect(), box = root.frame.bbox;
    found.push({title: root.model.title?.text ?? "", left: at.left + box.left, top: at.top + box.top,
                width: box.width, height: box.height});
}
return found;
"""
# what each panel draws: rows of its bright and of its faint layer, after their filters
DRAWN = """
return [...Bokeh.index].filter((root) => root.frame != null).map((root) =>
    root.model.renderers.map((renderer) => renderer.view.filter.booleans.filter((kept) => kept).length));
"""
# colored and grey pixels of the first panel's canvas
INK = """
const root = [...Bokeh.index].find((view) => view.frame != null);
const canvas = root.canvas_view.primary.canvas;
const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
let colored = 0;
for (let at = 0; at < data.length; at += 4)
    if (Math.max(data[at], data[at+1], data[at+2]) - Math.min(data[at], data[at+1], data[at+2]) > 60) colored += 1;
return colored;
"""


@pytest.fixture
def page(toy, tmp_path):
    config = configure(toy.STUDY)
    folder = execute(toy.STUDY, config, data="mock", out=tmp_path / "out", publish=build)
    return folder / "index.html", toy.mock(config)["stars"]


@pytest.fixture
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    folder = tempfile.mkdtemp()
    words = ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,1000", "--disable-dev-shm-usage")
    for word in (*words, f"--user-data-dir={folder}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        driver.get("about:blank")
        driver.get_log("performance")  # what the browser asks of itself when it starts is not the page's
        yield driver
    finally:
        driver.quit()
        shutil.rmtree(folder, ignore_errors=True)


def wait(browser, script=IDLE):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 30).until(lambda driver: driver.execute_script(script))


def opened(browser, path):
    browser.get(path.as_uri())
    wait(browser)


def requests(browser):
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def drag(browser, frame, start, end):
    """Drag in a panel; start and end are fractions of its frame, from the left and the top."""
    from selenium.webdriver import ActionChains

    points = [
        (round(frame["left"] + x * frame["width"]), round(frame["top"] + y * frame["height"])) for x, y in (start, end)
    ]
    chain = ActionChains(browser, duration=50)
    pointer = chain.w3c_actions.pointer_action
    pointer.move_to_location(*points[0])
    pointer.pointer_down()
    pointer.move_to_location(*((a + b) // 2 for a, b in zip(*points, strict=True)))
    pointer.move_to_location(*points[1])
    pointer.pointer_up()
    chain.perform()
    wait(browser)


def counts(browser):
    return browser.execute_script("return Bokeh.documents[0].get_model_by_name('explorer_counts').text")


def set_slider(browser, value):
    browser.execute_script(
        "Bokeh.documents[0].get_model_by_name('explorer_threshold').value = arguments[0]; return 0", value
    )
    wait(browser)


def to_panels(browser, title):
    browser.execute_script("document.getElementById('explorer').scrollIntoView()")
    wait(browser)
    return next(frame for frame in browser.execute_script(FRAMES) if frame["title"] == title)


def test_the_page_opens_without_errors_and_without_a_network(page, browser):
    path, _ = page
    opened(browser, path)
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    assert [url for url in requests(browser) if not url.startswith(("file://", "data:", "blob:"))] == []
    assert browser.title == "[simulated input] A toy stream", "no script from a name or label has run"
    images = browser.execute_script("return [...document.images].map((image) => image.naturalWidth)")
    assert images == [1360]
    titles = [frame["title"] for frame in browser.execute_script(FRAMES)]
    assert titles[:2] == ["Sky", "Turned"]
    assert len(titles) == 3


def test_the_slider_changes_the_count_and_what_is_drawn(page, browser):
    path, stars = page
    probability = np.exp(-0.5 * (stars["y"].value / 0.5) ** 2).astype(np.float32)
    opened(browser, path)
    ink = []
    for cut in (0.5, 0.9, 0.01):
        set_slider(browser, cut)
        above = int((probability >= cut).sum())
        assert counts(browser) == f"{above} of 400 at or above {cut:.2f}"
        assert browser.execute_script(DRAWN) == [[400 - above, above]] * 3
        ink.append(browser.execute_script(INK))
    assert ink[1] < ink[0] < ink[2], "the higher the cut, the fewer colored points"


def test_a_box_in_one_panel_selects_the_same_rows_in_all(page, browser):
    path, stars = page
    opened(browser, path)
    drag(browser, to_panels(browser, "Sky"), (0.25, 0.02), (0.5, 0.98))
    chosen = browser.execute_script(ROWS + "return rows.selected.indices")
    x = stars["x"].value
    span = 1.06 * (x.max() - x.min())
    left = x.min() - 0.03 * (x.max() - x.min())
    # a point at the very edge may fall on either side of a pixel
    sure = np.flatnonzero((x > left + 0.253 * span) & (x < left + 0.497 * span))
    maybe = np.flatnonzero((x > left + 0.247 * span) & (x < left + 0.503 * span))
    assert set(sure) <= set(chosen) <= set(maybe)
    assert len(chosen) > 50
    sources = "return [...Bokeh.index].filter((r) => r.frame).flatMap((r) => r.model.renderers.map((g) => "
    indices = browser.execute_script(sources + "g.data_source.selected.indices.length))")
    assert indices == [len(chosen)] * 6
    probability = np.exp(-0.5 * (stars["y"].value[chosen] / 0.5) ** 2).astype(np.float32)
    both = int((probability >= 0.5).sum())
    assert counts(browser).endswith(f"· {len(chosen)} selected, {both} of them at or above it")


def test_the_page_fits_a_narrow_screen(page, browser):
    path, _ = page
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True},
    )
    opened(browser, path)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    fits = "return [...document.querySelectorAll('.cards')].map((t) => t.scrollWidth <= t.parentElement.clientWidth)"
    assert browser.execute_script(fits) == [True, True]
