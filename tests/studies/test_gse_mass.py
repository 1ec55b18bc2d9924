"""The study gse-mass from end to end: on the made halo, and on a made file with allStar's columns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

from starloom.catalog.tables import read_table
from starloom.errors import DatasetError
from starloom.halo.scene import stellar_models
from starloom.report.page import build
from starloom.studies import gse_mass
from starloom.studies.gse_mass_steps import made_halo, survey_fields
from starloom.studies.study import configure, execute

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SMALL = ("moduli=25", "samples=40", "draws=60", "tune=60", "starts=1", "probabilities=2", "posterior_of=broken",
         "mock_rest=6e8")  # fmt: skip


@pytest.fixture(scope="module")
def _models():
    try:
        survey_fields()
        stellar_models()
    except DatasetError as error:
        pytest.skip(f"fields or isochrones cannot be had here: {error}")


@pytest.mark.usefixtures("_models")
def test_tour_on_the_mock(tmp_path):
    config = configure(gse_mass.STUDY, preset="tour", seed=2, overrides=SMALL)
    folder = execute(gse_mass.STUDY, config, data="mock", out=tmp_path / "out", publish=build)
    record = json.loads((folder / "results.json").read_text())
    numbers = {entry["name"]: entry for entry in record["numbers"]}
    assert record["title"].startswith("[simulated input]")
    assert numbers["bias from ignoring the completeness"]["verdict"] == "pass"
    assert numbers["bias from ignoring the survey's selection"]["verdict"] == "pass"
    assert not numbers["stellar mass of GS/E"]["published"]["comparable"]
    true = numbers["true mass of GS/E in the mock"]["value"]
    assert numbers["stellar mass of GS/E"]["value"] == pytest.approx(true, rel=0.35)
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    assert drawn == {"selections", "completeness", "posterior", "profile", "masses"}
    names = {entry["name"] for entry in record["tables"]}
    assert {"budget", "gse_densities", "gse_posterior", "halo_densities", "stars", "completeness"} <= names
    assert "two Osipkov-Merritt functions" in (folder / "index.html").read_text()  # the budget stands on the page
    assert numbers["GS/E: q"]["value"] <= numbers["GS/E: p"]["value"]
    assert {entry["name"] for entry in record["inputs"]} >= {"giants", "sampling_fractions", "isochrones_mist"}


def allstar(table):
    """The made halo under the names, and with the missing values, of allStar."""
    out = Table()
    out["APOGEE_ID"] = [f"2M{number:08d}" for number in range(len(table))]
    for name, column in (("RA", "ra"), ("DEC", "dec"), ("GAIAEDR3_PMRA", "pmra"), ("GAIAEDR3_PMDEC", "pmdec"),
                         ("VHELIO_AVG", "radial_velocity"), ("GAIAEDR3_PMRA_ERROR", "pmra_error"),
                         ("GAIAEDR3_PMDEC_ERROR", "pmdec_error"), ("VERR", "radial_velocity_error")):  # fmt: skip
        out[name] = np.asarray(table[column].value, dtype=np.float32 if "ERR" in name else np.float64)
    out["weighted_dist"] = np.asarray(table["distance"].to_value(u.pc))
    out["weighted_dist_error"] = 0.03 * out["weighted_dist"]
    for name, column in (("FE_H", "fe_h"), ("AL_FE", "al_fe"), ("LOGG", "logg")):
        out[name] = np.asarray(table[column], dtype=np.float32)
    out["LOGG_ERR"] = np.full(len(out), 0.05, np.float32)
    out["EXTRATARG"] = np.zeros(len(out), np.int32)
    out["FE_H"][0], out["GAIAEDR3_PMRA"][1], out["EXTRATARG"][2], out["LOGG_ERR"][3] = -9999.0, -9999.0, 4, 0.5
    return out


@pytest.mark.usefixtures("_models")
def test_a_users_allstar_goes_through_the_whole_study(tmp_path):
    config = configure(gse_mass.STUDY, preset="tour", seed=3, overrides=(*SMALL, "mock_rest=0"))
    made = made_halo(config)
    path = tmp_path / "allstar.fits"
    allstar(made).write(path)
    folder = execute(gse_mass.STUDY, config, data=str(path), out=tmp_path / "out", publish=build)
    record = json.loads((folder / "results.json").read_text())
    assert not record["title"].startswith("[simulated input]")
    numbers = {entry["name"]: entry["value"] for entry in record["numbers"]}
    giants = next(entry for entry in record["inputs"] if entry["name"] == "giants")
    assert (giants["kind"], giants["rows"]) == ("real", len(made))
    assert "true mass of GS/E in the mock" not in numbers
    assert numbers["giants usable"] == len(made) - 4
    assert numbers["stellar mass of GS/E"] == pytest.approx(6.0, rel=0.35)
    stars = read_table(folder / "tables" / "stars.parquet")
    assert len(stars) == len(made)
    for row, text in enumerate(("no [Fe/H]", "no pmra", "EXTRATARG", "log g less precise")):
        assert text in stars["reason"][row]
    np.testing.assert_allclose(stars["distance"].to_value(u.kpc), made["distance"].to_value(u.kpc), rtol=1e-6)
    budget = read_table(folder / "tables" / "budget.parquet")
    assert set(budget["kind"]) >= {"mass function", "dust", "velocities", "velocity model"}


def test_real_columns_of_dr17_are_known():
    from starloom.halo.schema import SCHEMA

    path = DATA / "apogee_dr17_sample" / "montalban2021_dr17.parquet"
    if not path.exists():
        pytest.skip("no table of DR17 here")
    stars = SCHEMA.apply(read_table(path), "apogee_allstar", unique=None)
    assert 0.1 < np.nanmedian(stars["distance"].to_value(u.kpc)) < 5
    assert np.isfinite(np.asarray(stars["al_fe"])).mean() > 0.8
