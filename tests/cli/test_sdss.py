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
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:2] == ["3", "rows,"]
    assert lines[1][:6] == ["carton", "plan", "program", "category", "priority", "objects"]
    assert lines[2] == ["mwm_wd_core", "0.5.0", "mwm_wd", "science", "1400", "1"]
    assert len(lines) == 44
    assert "cartons more; --all shows them" in out
    assert max(map(len, out.splitlines())) <= 160
    assert "cartons not evaluated, since the table lacks columns" in err
    status, out, _ = starloom("sdss", "cartons", dwarfs, "--all")
    ob = next(line.split() for line in out.splitlines() if line.startswith("mwm_ob_core"))
    assert ob[1:7] == ["0.5.1", "mwm_ob", "science", "2910", "not", "evaluated"]
    assert {"k_m,", "phot_g_mean_mag,"} < set(ob)
    assert "more;" not in out
    found = read_table(tmp_path / "found.csv")
    assert found["catalogid"].tolist() == [ID]
    assert found["cadence"].tolist() == ["dark_2x1"]


def test_the_cartons_there_are_and_one_whole(starloom, tmp_path):
    status, out, err = starloom("sdss", "cartons")
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert [row[:5] for row in rows if row and row[0] == "mwm_ob_core"] == [
        ["mwm_ob_core", "0.5.1", "mwm_ob", "science", "2910"]
    ]
    assert [row[4:6] for row in rows if row and row[0] == "mwm_tess_planet"] == [["by", "target"]]
    assert len(rows) > 80
    assert max(map(len, out.splitlines())) <= 160
    status, out, _ = starloom("sdss", "cartons", "--show", "mwm_ob_core")
    assert status == 0
    assert out.startswith("mwm_ob_core, plan 0.5.1")
    for words in (
        *("instrument  BOSS", "phot_g_mean_mag < 16", "option ruwe_cut, on by default:\n  ruwe < 1.4"),
        "2MASS Ks magnitude (mag); 2MASS point sources",
    ):
        assert words in out
    assert "to 10 a cube of space" in starloom("sdss", "cartons", "--show", "mwm_dust_core")[1]
    for words, word in (
        (("--show", "mwm_ob_cor"), "did you mean 'mwm_ob_core'"), (("--explain", "1"), "which table"),
        (("--out", tmp_path / "x.csv"), "which table"), (("--plan", "v77"), "plan or generation"),
    ):  # fmt: skip
        status, _, err = starloom("sdss", "cartons", *words)
        assert (status, word in err) == (2, True)


def test_every_carton_can_be_shown():
    from starloom.sdss.cartons import cartons

    for carton in cartons():
        text = carton.text()
        assert carton.label.replace(f"_{carton.plan}", "") in text
        assert all(clause.text in text for clause in carton.clauses)


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


def test_the_command_that_a_listing_suggests_shows_that_version(starloom):
    _, out, _ = starloom("sdss", "cartons", "--plan", "v0.plates")
    suggested = out.strip().splitlines()[-1].split("starloom ")[1].split()
    status, shown, error = starloom(*suggested)
    assert status == 0, error
    assert suggested[-1] in shown
    status, _, error = starloom("sdss", "cartons", "no_such.fits", "--show", "mwm_ob_core")
    assert status != 0
    assert "--show prints one carton" in error
