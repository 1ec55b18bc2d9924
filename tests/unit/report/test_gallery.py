"""The gallery of a tour: cards of what was done, failed and is to come."""

from __future__ import annotations

import json

from starloom.report import gallery
from starloom.report.gallery import Stop


def record(**more):
    number = {
        "name": "width_at_<b>", "value": 0.2431, "unit": "deg", "low": 0.22, "high": 0.27, "verdict": "pass",
        "published": {"value": 0.25, "low": None, "high": None, "source": "x", "comparable": False}, "bar": None,
    }  # fmt: skip
    plain = {"name": "count", "value": 3.0, "unit": "", "low": None, "high": None, "published": None, "verdict": "info"}
    figures = [{"name": "first", "caption": "a <i> caption"}]
    return {"numbers": [plain, number], "figures": figures, "inputs": [{"kind": "real"}]} | more


def write(folder, name, **more):
    (folder / name).mkdir()
    (folder / name / "results.json").write_text(json.dumps(record(**more)))


def test_a_card_shows_the_number_with_a_published_one_and_links_its_page(tmp_path):
    write(tmp_path, "gd1-stream")
    text = gallery.build([Stop("gd1-stream", "done", 12.4)], tmp_path, command="starloom tour").read_text()
    assert "width at &lt;b&gt;" in text
    assert "<b>" not in text
    assert "published, other data" in text
    assert 'href="gd1-stream/index.html"' in text
    assert 'src="gd1-stream/figures/first.png"' in text
    assert "real tables" in text
    assert "12 s" in text
    assert "1 of 1 bars reached" in text


def test_simulated_input_is_said(tmp_path):
    write(tmp_path, "gd1-stream", inputs=[{"kind": "simulated"}, {"kind": "real"}])
    text = gallery.build([Stop("gd1-stream", "done", 1.0)], tmp_path, command="c").read_text()
    assert ">simulated</span>" in text
    assert "0 on real tables" in text


def test_failed_waiting_and_unreadable_studies_have_cards(tmp_path):
    (tmp_path / "redshift-som").mkdir()
    (tmp_path / "redshift-som" / "results.json").write_text('{"numbers": [')
    stops = [Stop("gd1-stream", "failed", 2.0, "no <table>"), Stop("stream-mock"), Stop("redshift-som", "done", 1.0)]
    text = gallery.build(stops, tmp_path, command="c").read_text()
    assert "no &lt;table&gt;" in text
    assert ">failed</span>" in text
    assert ">to come</span>" in text
    assert "1 to come" in text
    assert "its result cannot be read" in text
    assert "0 of 3 studies" in text


def test_a_result_without_numbers_or_figures_shows_its_summary(tmp_path):
    write(tmp_path, "gd1-stream", numbers=[], figures=[])
    text = gallery.build([Stop("gd1-stream", "done", 1.0)], tmp_path, command="c").read_text()
    assert "<img" not in text
    assert "0 of 0 bars" in text
