"""``starloom train ages`` and ``starloom predict ages`` as a user types them."""

from __future__ import annotations

import sys

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from starloom.catalog.tables import read_table, write_table
from starloom.cli.app import main
from starloom.datasets.access import locate
from starloom.errors import DatasetError


@pytest.fixture
def starloom(monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["starloom", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        out = capsys.readouterr()
        return int(end.value.code or 0), out.out, out.err

    return run


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(1)
    mass = rng.uniform(0.9, 2.2, 400)
    stars = QTable({"age": 10.0 * mass**-3.0 * u.Gyr, "mass": mass * u.Msun, "fe_h": rng.normal(0.0, 0.2, 400)})
    stars["name"] = [f"star {k}" for k in range(400)]
    return stars


def test_train_and_predict(tmp_path, table, starloom):
    write_table(table, tmp_path / "known.fits")
    status, out, err = starloom("train", "ages", tmp_path / "known.fits", "-o", tmp_path / "forest", "--trees", "20")
    assert status == 0, err
    assert "mass, fe_h, learned from 400 stars" in out
    asked = table["mass", "fe_h", "name"][:50]
    asked["fe_h"][3] = np.nan
    for ending in ("fits", "parquet", "ecsv"):
        write_table(asked, tmp_path / f"asked.{ending}")
        status, out, err = starloom("predict", "ages", tmp_path / f"asked.{ending}", "-o", tmp_path / f"told.{ending}",
                                    "--model", tmp_path / "forest")  # fmt: skip
        assert status == 0, err
        assert "50 stars, 49 without a remark" in out
        told = read_table(tmp_path / f"told.{ending}")
        assert list(told["name"]) == list(asked["name"])
        assert told["reason"][3] == "without fe_h"
        ratio = told["predicted_age"].to_value(u.Gyr) / table["age"][:50].to_value(u.Gyr)
        assert np.median(np.abs(ratio - 1.0)) < 0.05


def test_the_default_forest_learns_apokasc(tmp_path, starloom):
    try:
        locate("apokasc2", "ages", download=False)
    except DatasetError as error:
        pytest.skip(f"APOKASC-2 is not on this machine: {error}")
    asked = QTable({"teff": [4800.0, 4700.0] * u.K, "logg": [2.4, 2.9], "fe_h": [0.0, -0.5], "alpha_m": [0.0, 0.25],
                    "color": [1.0, 1.1]})  # fmt: skip
    write_table(asked, tmp_path / "asked.fits")
    words = ("predict", "ages", tmp_path / "asked.fits", "-o", tmp_path / "told.fits", "--trees", "15")
    status, out, err = starloom(*words)
    assert status == 0, err
    assert "teff, logg, fe_h, alpha_m" in out
    assert "APOKASC-2" in out
    told = read_table(tmp_path / "told.fits")["predicted_age"].to_value(u.Gyr)
    assert told[1] > told[0] + 1.0  # rich in alpha elements: old
    status, _, err = starloom(*words, "-i", "nu_max")
    assert status == 2
    assert "nu_max" in err
    status, _, err = starloom(*words, "-i", "color")
    assert (status, err.count("\n")) == (2, 1)
    assert "APOKASC-2 has no color" in err
    write_table(asked["color",], tmp_path / "colors.fits")
    status, _, err = starloom("predict", "ages", tmp_path / "colors.fits", "-o", tmp_path / "out.fits")
    assert status == 2
    assert "none of the columns" in err


def test_what_cannot_be_learned_ends_with_one_line(tmp_path, table, starloom):
    write_table(table[:20], tmp_path / "few.fits")
    status, _, err = starloom("train", "ages", tmp_path / "few.fits", "-o", tmp_path / "forest")
    assert (status, err.count("\n")) == (2, 1)
    assert "at least 50" in err
    status, _, err = starloom("predict", "ages", tmp_path / "few.fits", "-o", tmp_path / "x.fits", "--model", tmp_path)
    assert status == 2
    assert "no forest of ages" in err
