from __future__ import annotations

import numpy as np
import pytest
from astropy.table import QTable

from starloom.catalog.tables import read_table, write_table
from starloom.cli import app as cli


@pytest.fixture
def call(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr("sys.argv", ["starloom", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        shown = capsys.readouterr()
        return end.value.code, shown.out, shown.err

    return run


def test_orbits_of_a_table(call, tmp_path):
    columns = ("ra", "dec", "distance", "pmra", "pmdec", "radial_velocity")
    rows = np.array([[10.0, 20.0, 1.0, 1.0, -2.0, 30.0], [200.0, -20.0, 2.0, -3.0, 0.5, np.nan]])
    write_table(QTable(rows, names=columns), tmp_path / "stars.ecsv")
    status, out, err = call("orbits", "stars.ecsv", "-o", "orbits.fits", "--potential", "MWPotential2014")
    assert (status, err) == (0, "")
    assert "orbits.fits: 2 rows, 1 of them with a reason" in out
    found = read_table(tmp_path / "orbits.fits")
    assert np.isfinite(found["action_r"][0])
    assert found["reason"][1] == "no radial_velocity"


def test_what_is_wrong_is_said_in_one_line(call, tmp_path):
    assert call("orbits", "none.fits", "-o", "out.fits")[::2] == (
        2,
        "starloom: none.fits does not exist; check the path\n",
    )
    write_table(QTable({"ra": [1.0], "dec": [2.0]}), tmp_path / "few.csv")
    status, _, err = call("orbits", "few.csv", "-o", "out.fits")
    assert status == 2
    assert "pmra" in err
    assert err.count("\n") == 1
    status, _, err = call("orbits", "few.csv", "-o", "out.fits", "--potential", "nope")
    assert status == 2
    assert "MWPotential2014" in err
    assert not (tmp_path / "out.fits").exists()
