"""The study of metal-poor disk stars from end to end: on its mock, on the real stars, and on a table like H3's."""

from __future__ import annotations

import json

import numpy as np
import pytest

from starloom.catalog.tables import read_table, write_table
from starloom.datasets.access import locate, open_table
from starloom.errors import DatasetError, OutputError
from starloom.report.page import build
from starloom.studies import metal_poor_disk
from starloom.studies.study import configure, execute

pytestmark = pytest.mark.network

SMALL = ("mocks=4", "calibration=20", "turn_off=12", "stars=300", "real_stars=20")


def run(out, data, publish=None):
    config = configure(metal_poor_disk.STUDY, preset="tour", seed=2, overrides=SMALL)
    folder = execute(metal_poor_disk.STUDY, config, data=data, out=out, publish=publish)
    record = json.loads((folder / "results.json").read_text())
    return folder, record, {entry["name"]: entry for entry in record["numbers"]}


@pytest.fixture(autouse=True)
def models():
    try:
        for name, file in (("isochrone_grids", "mist"), ("bolometric_corrections", "tables")):
            locate(name, file)
    except (DatasetError, OutputError) as error:
        pytest.skip(f"the stellar models cannot be had here: {error}")


def need(name):
    try:
        open_table(name)
    except DatasetError as error:
        pytest.skip(f"the real stars cannot be had here: {error}")


def test_on_the_mock(tmp_path):
    folder, record, numbers = run(tmp_path / "out", "mock", build)
    assert record["title"].startswith("[simulated input]")
    fraction, true = numbers["prograde fraction"], numbers["true prograde fraction"]["value"]
    assert fraction["low"] - 0.05 < true < fraction["high"] + 0.05
    assert not fraction["published"]["comparable"]
    assert abs(numbers["population age"]["value"] - 12.0) < 0.9  # 16 stars: three standard errors
    assert {path.stem for path in (folder / "figures").glob("*.png")} == {
        "prograde", "orbits", "population_age", "minesweeper", "line_of_sight",
    }  # fmt: skip
    table = read_table(folder / "tables" / "stars.parquet")
    assert np.sum(table["selected"]) == numbers["stars in the sample"]["value"]
    assert {"p_prograde", "eccentricity", "selected", "reason"} < set(table.colnames)
    told = " ".join(record["warnings"])
    assert not [words for words in ("not public", "real stars", "MINESweeper", "S5's", "JINAbase") if words in told]


def test_on_the_real_stars(tmp_path):
    need("gd1_hectochelle")
    folder, record, numbers = run(tmp_path / "out", "auto")
    # the sample of the paper is not public: the title has to say that part of the input is made
    assert record["title"].startswith("[simulated input]")
    kinds = {entry["name"]: entry["kind"] for entry in record["inputs"]}
    assert kinds["hectochelle"] == "real"
    assert kinds["stars"] == "simulated"
    assert abs(numbers["median difference in distance"]["value"]) < 0.1
    assert -5.0 < numbers["median difference in age"]["value"] < 1.0
    if "jinabase" in kinds:
        assert numbers["rotation of JINAbase stars, [Fe/H] -2.5 to -2"]["low"] > 0
        assert "JINAbase is what the literature chose" in " ".join(record["warnings"])
    told = " ".join(record["warnings"])
    assert "The comparison with MINESweeper uses its own Teff" in told
    assert "The sample of the paper is not public" in told
    assert "The ages against MINESweeper" in told
    assert ("S5's fields lie on streams" in told) == ("s5" in kinds)
    assert "minesweeper_age" in read_table(folder / "tables" / "hectochelle_ages.parquet").colnames


def test_on_a_table_with_the_names_of_h3(tmp_path):
    need("gd1_hectochelle")
    made = metal_poor_disk.made_sample(configure(metal_poor_disk.STUDY, preset="tour", seed=3, overrides=SMALL))
    names = {
        "source_id": "GAIAEDR3_ID", "ra": "RA", "dec": "DEC", "pmra": "GAIAEDR3_PMRA", "pmdec": "GAIAEDR3_PMDEC",
        "pmra_error": "GAIAEDR3_PMRA_ERROR", "pmdec_error": "GAIAEDR3_PMDEC_ERROR", "parallax": "GAIAEDR3_PARALLAX",
        "parallax_error": "GAIAEDR3_PARALLAX_ERROR", "radial_velocity": "Vrad", "radial_velocity_error": "Vrad_err",
        "distance": "dist_adpt", "distance_error": "dist_adpt_err", "fe_h": "FeH", "alpha_m": "aFe", "teff": "Teff",
        "logg": "logg", "snr": "SNR",
    }  # fmt: skip
    table = made[list(names)]
    for ours, theirs in names.items():
        values = getattr(table[ours], "value", table[ours])
        table.remove_column(ours)
        table[theirs] = np.asarray(values)  # no units, as a survey's file may come
    write_table(table, tmp_path / "rcat.fits")
    folder, record, numbers = run(tmp_path / "out", str(tmp_path / "rcat.fits"))
    assert not record["title"].startswith("[simulated input]")
    assert any("your own table" in warning for warning in record["warnings"])
    assert any("No catalog of H3 was at hand" in warning for warning in record["warnings"])
    assert 0.5 < numbers["prograde fraction"]["value"] < 0.95
    assert "true prograde fraction" not in numbers
    assert 8.0 < numbers["population age"]["value"] < 16.0
    assert not numbers["population age"]["published"]["comparable"]
    assert len(read_table(folder / "tables" / "stars.parquet")) == 300
