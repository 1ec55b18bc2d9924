"""The studies of made streams end to end: the tailored mock's bars in small, and Palomar 5's ten lines."""

from __future__ import annotations

import json

import numpy as np
import pytest

from starloom.datasets.access import locate
from starloom.errors import DatasetError
from starloom.studies import registry, stream_mock
from starloom.studies.study import configure, execute


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    entry = registry.get("stream-mock")
    config = configure(entry, preset="tour", overrides=["isochrone=made", "members=3", "steps=200"])
    folder = execute(entry, config, out=tmp_path_factory.mktemp("mock") / "out")
    return json.loads((folder / "results.json").read_text())


def test_the_tailored_mock_is_fitted(record):
    """A guard of the bars over twenty seeds, with half of their steps."""
    numbers = {number["name"]: number for number in record["numbers"]}
    assert record["title"].startswith("[simulated input]")
    assert numbers["completeness at P > 0.8, tailored mock"]["value"] > 0.98
    assert numbers["false positives at P > 0.8, tailored mock"]["value"] <= 10
    assert numbers["expected over true members, tailored mock"]["value"] == pytest.approx(1.0, abs=0.03)
    assert numbers["expected calibration error, tailored mock"]["value"] < 0.005
    assert numbers["gaps wider than 4 deg found"]["verdict"] == "pass"
    assert {table["name"] for table in record["tables"]} >= {"membership", "track", "gaps"}


def test_scores_of_known_memberships():
    true = np.array([True, True, False, False])
    found = stream_mock.score(np.array([0.9, 0.7, 0.95, 0.1]), true, 0.8)
    assert (found.completeness, found.false_positives) == (0.5, 1)
    assert stream_mock.completeness_at_purity(np.array([0.9, 0.7, 0.8, 0.1]), true, 1.0) == 0.5
    assert stream_mock.completeness_at_purity(np.array([0.9, 0.7, 0.8, 0.1]), true, 0.6) == 1.0
    assert stream_mock.completeness_at_purity(np.array([0.1, 0.2, 0.8, 0.9]), true, 1.0) == 0.0


def test_palomar_5_on_its_mock(tmp_path):
    try:
        for name in (("galstreams_tracks", "tracks"), ("isochrone_grids", "mist"), ("bolometric_corrections", None)):
            locate(*name)
    except DatasetError as error:
        pytest.skip(f"the track and the isochrone grid cannot be had: {error}")
    entry = registry.get("pal5-stream")
    config = configure(entry, preset="tour", overrides=["steps=100"])
    folder = execute(entry, config, data="mock", out=tmp_path / "out")
    numbers = {n["name"]: n for n in json.loads((folder / "results.json").read_text())["numbers"]}
    assert numbers["purity at P > 0.8"]["verdict"] == "pass"
    assert numbers["completeness at P > 0.8"]["value"] > 0.8
    assert numbers["expected over true members"]["verdict"] == "pass"
