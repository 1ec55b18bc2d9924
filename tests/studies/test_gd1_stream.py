"""The study gd1-stream from end to end, in its shortest form: on the mock, and on the real stars where they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from starloom.catalog.tables import read_table
from starloom.datasets.access import open_table
from starloom.errors import DatasetError
from starloom.report.page import build
from starloom.streams.fitted import FittedStream
from starloom.studies.gd1_stream import STUDY
from starloom.studies.study import configure, execute

SHORT = ("members=3", "steps=40")


def run(out, data):
    config = configure(STUDY, preset="tour", seed=2, overrides=SHORT)
    return execute(STUDY, config, data=data, out=out, publish=build)


def strict(path):
    def refuse(word):
        raise AssertionError(f"{path.name} holds {word}")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.fixture(scope="module")
def on_mock(tmp_path_factory):
    return run(tmp_path_factory.mktemp("mock") / "gd1", "mock")


@pytest.fixture(scope="module")
def on_real(tmp_path_factory):
    try:
        for spec in STUDY.inputs:
            open_table(spec.dataset, spec.file)
    except DatasetError as error:
        pytest.skip(f"the real stars cannot be had here: {error}")
    return run(tmp_path_factory.mktemp("real") / "gd1", "real")


def check_result(folder, rows):
    record = strict(folder / "results.json")
    numbers = {entry["name"]: entry for entry in record["numbers"]}
    assert len(numbers) == len(record["numbers"])
    for name in ("expected members", "expected members: stream", "expected members: spur", "width in phi2",
                 "distance modulus", "stars used", "stars claimed off the stream", "stars with P > 0.8",
                 "velocity members in the input", "velocity members with P > 0.5"):  # fmt: skip
        assert numbers[name]["value"] is not None, name
        assert np.isfinite(numbers[name]["value"]), name
    assert sum(name.startswith("largest |d ") for name in numbers) == 3
    for entry in record["numbers"]:
        assert entry["verdict"] in ("pass", "fail", "info")
        assert (entry["bar"] is None) == (entry["verdict"] == "info")
        if entry["low"] is not None:
            assert entry["low"] <= entry["value"] <= entry["high"], entry["name"]
    assert record["seed"] == 2
    assert record["preset"] == "tour"
    assert record["config"]["steps"] == 40
    assert all(len(entry["sha256"]) == 64 for entry in record["inputs"])
    real = not record["title"].startswith("[simulated")
    inputs = {"stars", "isochrone", "tracks", "hectochelle"} | ({"streamfinder"} if real else set())
    assert {entry["name"] for entry in record["inputs"]} == inputs
    assert any("2311.16960" in citation for citation in record["citations"])
    names = {entry["name"]: entry for entry in record["tables"]}
    assert set(names) == {"membership", "track", "density_stream", "density_spur", "gaps"}
    for name, entry in names.items():
        for ending in ("parquet", "fits"):
            table = read_table(folder / "tables" / f"{name}.{ending}")
            assert len(table) == entry["rows"]
            assert table.colnames == entry["columns"]
    membership = read_table(folder / "tables" / "membership.parquet")
    assert len(membership) == rows
    p = np.asarray(membership["p_member"])
    used = np.asarray(membership["features_used"]) > 0
    assert np.isfinite(p[used]).all()
    assert np.isnan(p[~used]).all()
    assert p[used].sum() == pytest.approx(numbers["expected members"]["value"], rel=1e-6)
    assert used.sum() == numbers["stars used"]["value"]
    density = read_table(folder / "tables" / "density_stream.parquet")
    assert np.asarray(density["members"]).sum() == pytest.approx(numbers["expected members: stream"]["value"], rel=1e-6)
    page = (folder / "index.html").read_text()
    assert STUDY.title in page
    assert "expected members" in page
    for entry in record["figures"]:
        for ending in ("png", "pdf"):
            assert (folder / "figures" / f"{entry['name']}.{ending}").stat().st_size > 1000
        assert f"{entry['name']}.png" in page
    assert {entry["name"] for entry in record["figures"]} >= {"sky", "proper_motion", "color_magnitude", "track"}
    listed = {*strict(folder / "manifest.json"), "manifest.json"}
    assert listed == {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return record, numbers, membership


def test_the_mock_from_end_to_end(on_mock):
    record, numbers, membership = check_result(on_mock, rows=len(read_table(on_mock / "tables" / "membership.fits")))
    assert record["title"].startswith("[simulated input]")
    assert all(entry["kind"] == "simulated" for entry in record["inputs"])
    assert all(not entry["published"]["comparable"] for entry in record["numbers"] if entry["published"])
    assert "simulated" in (on_mock / "index.html").read_text()
    # a short fit of a clean mock: far better than a coin, whatever the last digits
    assert numbers["completeness at P > 0.8"]["value"] > 0.4
    assert numbers["purity at P > 0.8"]["value"] > 0.75
    true = (np.asarray(membership["component"]) != "background").sum()
    assert numbers["true members"]["value"] == true
    assert numbers["expected members"]["value"] == pytest.approx(true, rel=0.25)


def test_the_saved_model_gives_the_memberships_of_the_table(on_mock):
    membership = read_table(on_mock / "tables" / "membership.parquet")
    again = FittedStream.load(on_mock / "model").predict(membership["ra", "dec", "pmra", "pmdec",
                                                                   "g_mean_psf_mag", "i_mean_psf_mag"])  # fmt: skip
    np.testing.assert_allclose(again["p_member"], membership["p_member"], atol=1e-5)


def test_the_same_seed_gives_the_same_numbers(on_mock, tmp_path):
    config = configure(STUDY, preset="tour", seed=2, overrides=SHORT)
    again = execute(STUDY, config, data="mock", out=tmp_path / "again")
    assert strict(again / "results.json")["numbers"] == strict(on_mock / "results.json")["numbers"]


def test_the_real_stars_from_end_to_end(on_real):
    record, numbers, membership = check_result(on_real, rows=7346)
    assert not record["title"].startswith("[simulated")
    assert all(entry["kind"] == "real" for entry in record["inputs"])
    assert numbers["velocity members in the input"]["value"] == 32
    # 40 steps are no fit to be judged: only that the stream is there
    assert 300 < numbers["expected members"]["value"] < 1200
    found = numbers["velocity members with P > 0.5"]["value"]
    assert found >= 20
    assert "component" not in membership.colnames
