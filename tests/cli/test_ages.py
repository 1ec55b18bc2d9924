from __future__ import annotations

import numpy as np
import pytest
from astropy.table import QTable

from starloom.catalog.tables import read_table, write_table
from starloom.cli import app as cli
from starloom.errors import DatasetError, OutputError


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


@pytest.fixture
def models():
    from starloom.datasets.access import locate

    try:
        locate("isochrone_grids", "mist")
    except (DatasetError, OutputError) as error:
        pytest.skip(f"isochrones cannot be had here: {error}")


@pytest.mark.network
@pytest.mark.usefixtures("models")
def test_ages_of_a_table(call, tmp_path):
    table = QTable({"fe_h": [-2.2, -2.2, -5.0], "teff": [6300.0, np.nan, 6000.0], "logg": [4.05, np.nan, 4.0]})
    write_table(table, tmp_path / "stars.ecsv")
    status, out, err = call("ages", "stars.ecsv", "-o", "ages.parquet", "--workers", "1")
    assert status == 0, err
    assert "ages.parquet: 3 rows, 2 of them with a reason" in out
    found = read_table(tmp_path / "ages.parquet")
    assert 8.0 < float(found["age"][0].value) < 18.0
    assert found["reason"][1].startswith("neither Teff")
    assert found["reason"][2].startswith("[Fe/H] below the grid")


def test_what_is_wrong_is_said_in_one_line(call, tmp_path):
    status, _, err = call("ages", "none.fits", "-o", "out.fits")
    assert status == 2
    assert err.count("\n") == 1
    assert "none.fits" in err
    write_table(QTable({"fe_h": [-2.0], "teff": [6000.0]}), tmp_path / "stars.ecsv")
    status, _, err = call("ages", "stars.ecsv", "-o", "out.fits", "--family", "none")
    assert status == 2
    assert "there are mist" in err
