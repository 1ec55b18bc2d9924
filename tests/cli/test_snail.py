from __future__ import annotations

import numpy as np
import pytest

from starloom.catalog.tables import read_table, write_table
from starloom.cli import app as cli
from starloom.disk.snail_mock import stars_with_snail


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


def test_ages_of_a_table(call, tmp_path):
    write_table(stars_with_snail(12_000, 1, amplitude=0.4), tmp_path / "stars.fits")
    status, out, err = call(
        "snail", "stars.fits", "-o", "ages.parquet", "--stars", "with_angles.parquet", "--width", "200",
        "--bootstraps", "10",
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert "of them with a spiral" in out
    ages = read_table(tmp_path / "ages.parquet")
    assert ages["seen"].any()
    stars = read_table(tmp_path / "with_angles.parquet")
    assert len(stars) == 12_000
    assert np.isfinite(stars["theta_z"].value).all()


def test_too_few_stars_are_said_in_each_row(call, tmp_path):
    write_table(stars_with_snail(100, 1), tmp_path / "few.fits")
    status, out, _ = call("snail", "few.fits", "-o", "out.ecsv")
    assert status == 0
    assert "0 of them with a spiral" in out
    assert all("stars have a vertical angle" in reason for reason in read_table(tmp_path / "out.ecsv")["reason"])


def test_what_is_wrong_is_said_in_one_line(call, tmp_path):
    assert call("snail", "none.fits", "-o", "out.fits")[0] == 2
    write_table(stars_with_snail(100, 1), tmp_path / "few.fits")
    for extra, word in (
        (("--width", "-1"), "width"), (("--potential", "nowhere"), "no potential"), (("--farthest", "0"), "farthest"),
        (("--oldest", "0.01"), "search"), (("--harmonic", "7"), "harmonic"),
    ):  # fmt: skip
        status, _, err = call("snail", "few.fits", "-o", "out.fits", *extra)
        assert status == 2
        assert word in err
        assert err.count("\n") == 1
