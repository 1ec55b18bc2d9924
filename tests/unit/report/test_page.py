from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable

from starloom.errors import ConfigError
from starloom.report import explorer
from starloom.report.page import build
from starloom.results.figures import Explorer, Figure, Panel, Points, View
from starloom.results.record import Bar, InputRecord, Published, Results

HOSTILE = '<script>alert(1)</script><b title="\'">'


class Reader(HTMLParser):
    """Counts the tags, gathers the text outside of scripts and styles, and all addresses that a browser would load."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.loaded, self.links, self.open = {}, "", [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag in ("script", "style"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data") or (name == "href" and tag == "link"):
                self.loaded.append(value)
            elif name == "href":
                self.links.append(value)

    def handle_endtag(self, tag):
        if self.open and tag == self.open[-1]:
            self.open.pop()

    def handle_data(self, data):
        if not self.open:
            self.text += data


@pytest.fixture
def results():
    found = Results(study="toy", title=f"Title {HOSTILE}", preset="tour", seed=1, summary=HOSTILE, command=HOSTILE)
    found.number(HOSTILE, 1.0, HOSTILE, meaning=HOSTILE, published=Published(2.0, f"{HOSTILE} src"))
    found.number("width", 0.2431, "deg", low=0.2213, high=0.2687, bar=Bar("in", (0.15, 0.35)))
    found.number("track", 0.5, "deg", bar=Bar("<=", 0.3), published=Published(0.1, "1805.00425 me", 0, 1, True))
    found.number("lost", float("nan"))
    table = QTable({f"col {HOSTILE}": [HOSTILE], "phi1": [1.5] * u.deg, "vector": [[1.0, 2.0]], "n": [2**62 + 1]})
    table["gone"] = MaskedColumn([1], mask=[True])
    found.table("stars", table, HOSTILE)
    found.table("none", QTable({"x": np.zeros(0)}))
    found.warn(HOSTILE)
    found.config = {HOSTILE: HOSTILE}
    found.inputs.append(InputRecord(HOSTILE, "simulated", HOSTILE, 7346, "f" * 64, HOSTILE, HOSTILE))
    found.citations = [HOSTILE, "2018ApJ...863L..20P Price-Whelan & Bonaca 2018"]
    found.figures = [Figure("sky", HOSTILE, [Panel([Points([0, 1], [0, 1])], "x", "y")])]
    return found


def test_a_page_shows_what_was_found_and_escapes_all_of_it(results, tmp_path):
    results.write(tmp_path)
    path = build(results, tmp_path)
    page = path.read_text()
    read = Reader(page)
    assert path == tmp_path / "index.html"
    assert "script" not in read.tags
    assert "b" in read.tags
    assert page.count("<b ") == 0, "only the page's own <b>"
    assert read.text.count(HOSTILE) >= 14
    assert read.text.count("[simulated input]") == 2, "in the title of the window and of the page"
    for expected in (
        "0.243", "0.221 to 0.269", "0.15 to 0.35", "≤ 0.3", "pass", "fail", "info", "—",
        str(2**62 + 1), "[2 values]", "7,346", "f" * 64, "no, analogous only", "yes", "1 of 2 bars reached",
    ):  # fmt: skip
        assert expected in read.text, expected
    assert all(address.startswith("data:") for address in read.loaded), "nothing is loaded from elsewhere"
    assert {"tables/stars.fits", "tables/stars.parquet", "figures/sky.png", "figures/sky.pdf"} <= set(read.links)
    assert "https://ui.adsabs.harvard.edu/abs/2018ApJ...863L..20P" in read.links
    assert "https://arxiv.org/abs/1805.00425" in read.links
    for link in read.links:
        if not link.startswith(("#", "https://")):
            assert (tmp_path / link).exists(), link
        elif link.startswith("#"):
            assert f'id="{link[1:]}"' in page


def test_a_page_of_nothing_is_a_page(tmp_path):
    page = build(Results(study="toy", title="T", preset="tour", seed=1), tmp_path).read_text()
    read = Reader(page)
    assert "Numbers" not in read.text
    assert "simulated" not in read.text
    assert "T" in read.text


def test_two_figures_of_one_name_are_refused(results, tmp_path):
    results.figures *= 2
    with pytest.raises(ConfigError, match="two figures are called 'sky'"):
        build(results, tmp_path)


def tangle(n, probability=None):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, n))
    columns = {"x": x, "y": y, "p": rng.random(n) if probability is None else probability}
    columns["id"] = np.arange(n) + 2**62
    views = [View("x", "y", "x", HOSTILE, title=HOSTILE), View("y", "x", "$$y$$", "x", invert_y=True)]
    return Explorer(columns, "p", views, hover={"id": HOSTILE})


@pytest.mark.parametrize("n", [0, 1, 300])
def test_the_explorer_needs_no_network_and_holds_ids_whole(n):
    found = explorer.embed(tangle(n))
    code = found.body + found.scripts
    assert not Reader(code).loaded
    assert "<script>alert(1)" not in code
    assert "$$" not in re.sub(r"<script.*?Bokeh.*?</script>", "", found.body)
    if n:
        assert str(2**62 + n - 1) in code, "ids are text: a browser would round them"
    assert Reader(found.body).tags.get("script") is None


def test_the_explorer_of_hopeless_values():
    nothing = np.array([np.nan, np.inf, -np.inf])
    columns = {"x": nothing, "p": nothing}
    found = explorer.embed(Explorer(columns, "p", [View("x", "p", "x", "p")]))
    assert "0 of 3 at or above 0.50" in found.scripts


def test_the_explorer_keeps_the_most_probable_of_too_many_rows(monkeypatch):
    monkeypatch.setattr(explorer, "MOST_ROWS", 10)
    found = explorer.embed(tangle(50, np.linspace(0, 1, 50)))
    assert "The 10 most probable of 50 rows" in found.body
    assert str(2**62 + 49) in found.scripts
    assert str(2**62 + 39) not in found.scripts
