"""``starloom som`` on small tables of every kind a user may bring."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from starloom.catalog.tables import read_table, write_table
from starloom.cli.app import app
from starloom.errors import CatalogError, ConfigError, MissingColumnError
from starloom.galaxies.mock_photometry import MockSurvey, make
from starloom.galaxies.self_organizing_map import FittedSOM

BANDS = "u,g,r,i,z,Y,J,H"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("som")
    galaxies = make(MockSurvey(3000), 1)
    write_table(galaxies, folder / "galaxies.parquet")
    write_table(galaxies[:800], folder / "galaxies.fits")
    write_table(galaxies[:800], folder / "galaxies.csv")
    spectra = galaxies[::3]
    spectra["zspec"] = np.asarray(spectra["redshift"])
    spectra["zspec"][::20] = -1.0
    write_table(spectra, folder / "spectra.fits")
    run(f"train {folder}/galaxies.parquet --out {folder}/map --bands {BANDS} --errors {{}}_err --distance errors "
        "--rows 8 --columns 12")  # fmt: skip
    return folder


def run(line):
    done = CliRunner().invoke(app, ["som", *line.split()])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_a_map_is_trained_and_saved(folder):
    fitted = FittedSOM.load(folder / "map")
    assert fitted.grid.cells == 96
    assert fitted.trained_on == 3000
    assert json.loads((folder / "map" / "model.json").read_text())["features"]["errors"][0] == "u_err"


@pytest.mark.parametrize("kind", ["parquet", "fits", "csv"])
def test_tables_of_every_kind_are_assigned(folder, tmp_path, kind):
    run(f"assign {folder}/galaxies.{kind} --map {folder}/map --out {tmp_path}/out.{kind} --columns id")
    found = read_table(tmp_path / f"out.{kind}")
    assert found.colnames == ["id", "cell", "cell_row", "cell_column", "cell_distance", "features_used", "reason"]
    wanted = FittedSOM.load(folder / "map").assign(read_table(folder / f"galaxies.{kind}"))
    np.testing.assert_array_equal(found["cell"], wanted)


def test_a_folder_of_parquet_goes_through_in_parts(folder, tmp_path):
    galaxies = read_table(folder / "galaxies.parquet")
    for part in range(3):
        write_table(galaxies[part * 1000 : (part + 1) * 1000], tmp_path / "in" / f"part{part}.parquet")
    run(f"assign {tmp_path}/in --map {folder}/map --out {tmp_path}/out.parquet")
    whole = np.asarray(read_table(tmp_path / "out.parquet")["cell"])
    fitted = FittedSOM.load(folder / "map")
    np.testing.assert_array_equal(whole, fitted.assign(galaxies))


def test_calibration_writes_bins_cells_and_n_of_z(folder, tmp_path):
    said = run(f"calibrate {folder}/galaxies.parquet {folder}/spectra.fits --map {folder}/map --out {tmp_path} "
               "--edges 0,0.5,1,2 --patch patch")  # fmt: skip
    assert "mean_z" in said
    bins, cells = read_table(tmp_path / "bins.parquet"), read_table(tmp_path / "cells.parquet")
    assert len(bins) == 3
    assert (np.diff(bins["mean_z"]) > 0).all()
    assert np.isfinite(bins["sample_variance"]).all()
    assert (bins["failures"] > 0).all()
    assert len(cells) == 96
    assert cells["galaxies"].sum() == 3000
    assert {"z_low", "n_0", "n_2_error"} <= set(read_table(tmp_path / "n_of_z.parquet").colnames)


def test_a_plan_lists_targets(folder, tmp_path):
    run(f"plan {folder}/galaxies.parquet {folder}/spectra.fits --map {folder}/map --out {tmp_path} "
        "--edges 0,0.5,1,2 --requirement 0.01 --success 1")  # fmt: skip
    bins, targets = read_table(tmp_path / "plan.parquet"), read_table(tmp_path / "targets.parquet")
    assert bins["reachable"].all()
    assert (bins["error"] <= bins["required"]).all()
    assert len(targets) >= bins["new"].sum() * 0.5
    assert len(np.unique(targets["id"])) == len(targets)


def test_bins_of_the_users_own(folder, tmp_path):
    galaxies = read_table(folder / "galaxies.parquet")
    galaxies["tomo"] = np.where(np.asarray(galaxies["redshift"]) > 0.7, 1, 0)
    write_table(galaxies, tmp_path / "own.parquet")
    line = f"calibrate {tmp_path}/own.parquet {folder}/spectra.fits --map {folder}/map --out {tmp_path}/o"
    run(f"{line} --bin tomo")
    assert len(read_table(tmp_path / "o" / "bins.parquet")) == 2
    with pytest.raises(CatalogError, match="whole numbers"):
        run(f"{line} --bin redshift")
    with pytest.raises(ConfigError, match="give the bins once"):
        run(line)
    with pytest.raises(ConfigError, match="numbers with commas"):
        run(f"{line} --edges a,b")
    with pytest.raises(MissingColumnError, match="z_best"):
        run(f"{line} --bin tomo --redshift z_best")


def test_training_on_a_sample_does_not_depend_on_the_batches(folder, monkeypatch):
    from starloom.galaxies import map_on_tables

    features = FittedSOM.load(folder / "map").features
    monkeypatch.setattr(map_on_tables, "BATCH", 3000)
    whole = map_on_tables.training_rows(folder / "galaxies.parquet", features, 500, 1)
    monkeypatch.setattr(map_on_tables, "BATCH", 170)
    parts = map_on_tables.training_rows(folder / "galaxies.parquet", features, 500, 1)
    np.testing.assert_array_equal(whole["g"].value, parts["g"].value)
    assert len(whole) == 500
