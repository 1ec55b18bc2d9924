"""The study seismic-ages from end to end: on the mock, and with the real spectra, power spectra and seismology."""

from __future__ import annotations

import json

import numpy as np
import pytest

from starloom.catalog.tables import read_table
from starloom.datasets.access import locate, open_table
from starloom.errors import DatasetError
from starloom.report.page import build
from starloom.stars.seismic_ages import SeismicAges
from starloom.studies.seismic_ages import STUDY
from starloom.studies.study import configure, execute

FIGURES = {"spectra", "power_spectra", "seismology", "ages", "residuals", "xp"}


def run(out, data, *overrides, publish=None):
    try:
        locate("isochrone_grids", "mist")
    except DatasetError as error:
        pytest.skip(f"the isochrones of the simulated Galaxy cannot be had here: {error}")
    return execute(
        STUDY, configure(STUDY, preset="tour", seed=2, overrides=overrides), data=data, out=out, publish=publish
    )


def numbers_of(folder):
    record = json.loads((folder / "results.json").read_text())
    return record, {entry["name"]: entry for entry in record["numbers"]}


def test_the_mock_from_end_to_end(tmp_path):
    folder = run(tmp_path / "mock", "mock", publish=build)
    record, numbers = numbers_of(folder)
    assert record["title"].startswith("[simulated input]")
    assert {entry["name"] for entry in record["figures"]} >= FIGURES
    assert {path.stem for path in (folder / "figures").glob("*.png")} >= FIGURES
    assert [entry["name"] for entry in record["numbers"] if entry["verdict"] == "fail"] == []
    for name in ("nu_max", "delta_nu"):
        # a training of seconds is far from its end, and yet it reads more than as many principal components
        assert numbers[f"{name}: latents over principal components"]["value"] < 0.9
    assert numbers["R2 of [alpha/M] from latents, same Galaxy"]["value"] < 0.6
    assert numbers["R2 of [alpha/M] from spectra"]["value"] > 0.7
    for galaxy in ("same Galaxy", "other alpha", "other history"):
        assert np.isfinite(numbers[f"age, giant branch, {galaxy}"]["value"])
    published = [entry["published"] for entry in record["numbers"] if "age, " in entry["name"] and entry["published"]]
    assert published
    assert not any(entry["comparable"] for entry in published)
    stars = read_table(folder / "tables" / "test_stars.parquet")
    assert {"age", "age_low", "age_high", "true_age", "nu_max", "misfit"} <= set(stars.colnames)
    assert SeismicAges.load(folder / "model").age is not None
    assert numbers["XP, mock: giants scored"]["value"] >= 50


def test_real_input_from_end_to_end(tmp_path):
    try:
        open_table("apokasc2")
        open_table("gaia_xp_apogee", columns=["source_id"])
    except DatasetError as error:
        pytest.skip(f"the real tables cannot be had here: {error}")
    record, numbers = numbers_of(run(tmp_path / "real", "real", "test_stars=100"))
    assert record["title"].startswith("[simulated input]")
    assert {entry["name"] for entry in record["figures"]} >= FIGURES
    assert [entry["name"] for entry in record["numbers"] if entry["verdict"] == "fail"] == []
    assert numbers["XP, real: giants scored"]["value"] > 90
    assert numbers["pixels of a spectrum"]["value"] == 7514
