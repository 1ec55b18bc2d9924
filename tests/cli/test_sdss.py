"""The commands for SDSS in this process."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from starloom.catalog.tables import read_table, write_table
from starloom.cli import app as cli
from starloom.datasets.access import locate
from starloom.errors import DatasetError

ID = 4_500_000_000_000_000_001


@pytest.fixture
def starloom(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["starloom", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        text = capsys.readouterr()
        return end.value.code, text.out, text.err

    return call


@pytest.fixture
def dwarfs(tmp_path):
    return write_table(
        {"catalogid": np.array([ID, ID + 1, ID + 2]), "pwd": [0.9, 0.1, np.nan], "g_gaia_mag": [15.0, 15.0, 15.0]},
        tmp_path / "dwarfs.parquet",
    )


def test_cartons_of_a_table(starloom, dwarfs, tmp_path):
    status, out, err = starloom("sdss", "cartons", dwarfs, "--out", tmp_path / "found.csv")
    assert status == 0
    assert "1  mwm_wd_core_0.5.0" in out
    assert "mwm_ob_core_0.5.1 needs" in err
    found = read_table(tmp_path / "found.csv")
    assert found["catalogid"].tolist() == [ID]
    assert found["cadence"].tolist() == ["dark_2x1"]


def test_why_not_and_sql(starloom, dwarfs):
    status, out, _ = starloom("sdss", "cartons", dwarfs, "--carton", "mwm_wd_core", "--explain", 1)
    assert status == 0
    assert "not selected" in out
    assert "false" in out
    status, out, _ = starloom("sdss", "cartons", dwarfs, "--carton", "mwm_wd_core", "--sql", "tsql")
    assert "SELECT catalogid" in out
    for words, word in (
        (("--plan", "v77"), "plan or generation"), (("--carton", "mwm_wd_core", "--explain", 9), "rows 0 to 2"),
        (("--carton", "mwm_ob_core"), "needs"), (("--carton", "mwm_wd_core", "--sql", "x"), "cannot be written"),
    ):  # fmt: skip
        status, _, err = starloom("sdss", "cartons", dwarfs, *words)
        assert status == 2
        assert word in err
    assert starloom("sdss", "cartons", "absent.fits")[0] == 2


def test_flags_of_a_file(starloom, tmp_path, dwarfs):
    try:
        locate("sdssv_targeting", "target_bits", download=False)
    except DatasetError as error:
        pytest.skip(f"the real bits are not here: {error}")
    from astropy.table import Table

    from starloom.sdss.target_flags import TargetFlags

    flags = TargetFlags.open(2).encode([["mwm_ob_core_0.5.1", "bhm_rm_core_0.5.0"], []])
    table = Table({"catalogid": np.array([ID, ID + 1]), "SDSS5_TARGET_FLAGS": flags})
    table.meta["SDSSC2BV"] = 2
    table.write(tmp_path / "x.fits")
    status, out, _ = starloom("sdss", "flags", tmp_path / "x.fits")
    assert status == 0
    assert "bits of version 2" in out
    assert "mwm_ob_core_0.5.1" in out
    status, out, _ = starloom("sdss", "flags", tmp_path / "x.fits", "--row", 0, "--out", tmp_path / "bits.csv")
    assert read_table(tmp_path / "bits.csv")["bit"].tolist() == [119, 132]
    assert starloom("sdss", "flags", tmp_path / "x.fits", "--row", 5)[0] == 2
    status, _, err = starloom("sdss", "flags", dwarfs)
    assert status == 2
    assert "no column 'sdss5_target_flags'" in err
