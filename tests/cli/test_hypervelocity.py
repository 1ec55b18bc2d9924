from __future__ import annotations

import numpy as np
import pytest

from starloom.catalog.tables import read_table, write_table
from starloom.cli import app as cli
from starloom.galactic_center.fast_stars import s5_hvs1


@pytest.fixture
def call(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr("sys.argv", ["starloom", "hypervelocity", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        shown = capsys.readouterr()
        return end.value.code, shown.out, shown.err

    return run


def test_traceback_of_a_table(call, tmp_path):
    write_table(s5_hvs1(8.9, 0.1), tmp_path / "stars.fits")
    status, out, err = call("traceback", "stars.fits", "-o", "traced.ecsv", "--samples", "16")
    assert (status, err) == (0, "")
    assert "traced.ecsv: 1 rows, 0 of them with a reason" in out
    assert read_table(tmp_path / "traced.ecsv")["flight_time"][0].value == pytest.approx(4.8, abs=0.1)


def test_eject(call, tmp_path):
    from starloom.datasets.access import locate
    from starloom.errors import DatasetError

    try:
        for name in (("isochrone_grids", "mist"), ("bolometric_corrections",)):
            locate(*name)
    except DatasetError as error:
        pytest.skip(f"the stellar models cannot be had here: {error}")
    status, out, err = call("eject", "-o", "hvs.fits", "--separation", 1, "--count", 200, "--seed", 3)
    assert status == 0
    assert "below the scattering experiments" in err
    assert "hvs.fits: 200 stars" in out
    table = read_table(tmp_path / "hvs.fits")
    assert np.isfinite(table["distance"]).all()


def test_what_is_wrong_is_said_in_one_line(call, tmp_path):
    for words, said in (
        (("eject", "-o", "x.fits"), "exactly one"),
        (("eject", "-o", "x.fits", "--separation", 1, "--since-merger", 5), "exactly one"),
        (("eject", "-o", "x.fits", "--separation", 1, "--companion-mass", 9e6), "exchange"),
        (("traceback", "none.fits", "-o", "x.fits"), "none.fits"),
        (("traceback", "none.fits", "-o", "x.fits", "--potential", "nope"), "nope"),
    ):
        status, _, err = call(*words)
        assert status == 2
        assert said in err
        assert err.count("\n") == 1
    assert not (tmp_path / "x.fits").exists()
