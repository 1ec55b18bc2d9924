"""The study sdss-targets from end to end: on made tables, on the real ones, on a user's own."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

from starloom.catalog.tables import read_table, write_table
from starloom.datasets.access import locate
from starloom.errors import DatasetError, MissingColumnError
from starloom.report.page import build
from starloom.studies.sdss_targets import STUDY
from starloom.studies.study import configure, execute

SHORT = ("rows=6000", "nside=4", "checked=500")


@pytest.fixture(scope="module")
def models():
    try:
        locate("isochrone_grids", "mist", download=False)
        locate("bolometric_corrections", download=False)
    except DatasetError as error:
        pytest.skip(f"the stellar models are not here: {error}")


@pytest.fixture(scope="module", autouse=True)
def one_parent(models):
    """The runs of this file draw the same parent catalog, once."""
    from starloom.studies import sdss_targets

    patch, made = pytest.MonkeyPatch(), functools.cache(sdss_targets.made_parent)
    patch.setattr(sdss_targets, "made_parent", made)
    yield
    patch.undo()


def run(out, data):
    config = configure(STUDY, preset="tour", seed=2, overrides=SHORT)
    return execute(STUDY, config, data=data, out=out, publish=build)


@pytest.fixture(scope="module")
def on_real(tmp_path_factory):
    try:
        for spec in STUDY.inputs:
            if spec.dataset:
                locate(spec.dataset, spec.file, download=False)
    except DatasetError as error:
        pytest.skip(f"the real tables cannot be had here: {error}")
    return run(tmp_path_factory.mktemp("real") / "sdss", "real")


def numbers(folder):
    record = json.loads((folder / "results.json").read_text())
    return record, {entry["name"]: entry for entry in record["numbers"]}


def test_with_real_bits_and_the_real_configuration(on_real):
    record, found = numbers(on_real)
    assert record["title"].startswith("[simulated input]")
    assert {entry["name"]: entry["kind"] for entry in record["inputs"]}["parent"] == "simulated"
    assert {entry["name"]: entry["kind"] for entry in record["inputs"]}["fibers"] == "real"
    for name in ("rows on which SQLite differs", "bits that do not come back", "share of them whose carton has a bit"):
        assert found[name]["verdict"] == "pass", name
    assert found["assigned fibers"]["value"] == 500
    assert found["real ops_std_boss fibers that the carton selects"]["value"] == pytest.approx(26 / 36)
    assert found["cartons of v0.5.3: done"]["value"] == 65
    assert found["targets of mwm_galactic_core on the sky"]["published"]["comparable"] is False
    assert not found["cartons evaluated"]["value"] < 20
    targets = read_table(on_real / "tables" / "targets.parquet")
    assert targets["catalogid"].dtype == np.int64
    assert (np.asarray(targets["catalogid"]) > 10**18).all()
    assert {entry["name"] for entry in record["figures"]} >= {"sky", "overlap", "color_magnitude", "focal_plane"}
    assert (on_real / "index.html").exists()


def test_on_made_tables(tmp_path):
    record, found = numbers(run(tmp_path / "mock", "mock"))
    assert all(entry["kind"] == "simulated" for entry in record["inputs"])
    assert found["bits that do not come back"]["verdict"] == "pass"


def test_on_a_table_of_ones_own(tmp_path, on_real):
    rng = np.random.default_rng(1)
    write_table({"pwd": rng.random(200), "g_gaia_mag": rng.uniform(15, 22, 200)}, tmp_path / "mine.parquet")
    record, found = numbers(run(tmp_path / "out", str(tmp_path / "mine.parquet")))
    assert not record["title"].startswith("[simulated")
    assert found["cartons evaluated"]["value"] == 1
    write_table({"x": [1.0]}, tmp_path / "nothing.csv")
    with pytest.raises(MissingColumnError, match="no carton"):
        run(tmp_path / "out2", str(tmp_path / "nothing.csv"))
