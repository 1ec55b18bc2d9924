"""The command that opens a file of spectra."""

import re

import numpy as np
import pytest
import typer
from astropy.io import fits
from typer.testing import CliRunner

from starloom.catalog.tables import read_table
from starloom.cli.spectrum import spectrum
from starloom.errors import CatalogError, ConfigError

CATALOGID = 6305039478318694399


@pytest.fixture
def group():
    """A group of commands with this one in it, as the command line joins it."""
    group = typer.Typer()
    group.command("spectrum")(spectrum)
    group.command("other")(lambda: None)
    return group


@pytest.fixture
def write(tmp_path):
    def write(name="spec.fits", seed=1, ivar=4.0):
        rng = np.random.default_rng(seed)
        count = 300
        columns = [
            fits.Column("FLUX", "E", array=(10 + rng.normal(0, 0.5, count)).astype(np.float32)),
            fits.Column("LOGLAM", "E", array=(3.6 + 1e-4 * np.arange(count)).astype(np.float32)),
            fits.Column("IVAR", "E", array=np.full(count, ivar, dtype=np.float32)),
            fits.Column("AND_MASK", "J", array=np.where(np.arange(count) < 30, 1 << 23, 0).astype(np.int32)),
            fits.Column("MODEL", "E", array=np.full(count, 10.0, dtype=np.float32)),
        ]
        row = [fits.Column("CATALOGID", "K", array=np.array([CATALOGID])), fits.Column("Z", "E", array=np.array([0.5]))]
        hdus = [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="COADD")]
        path = tmp_path / name
        fits.HDUList([*hdus, fits.BinTableHDU.from_columns(row, name="SPALL")]).writeto(path)
        return path

    return write


def run(group, *words):
    return CliRunner().invoke(group, ["spectrum", *map(str, words)], catch_exceptions=False)


def test_what_a_file_holds(group, write):
    result = run(group, write())
    assert result.exit_code == 0
    assert str(CATALOGID) in result.output
    assert "redshift           0.5" in result.output
    assert "brightsky 10.0 %" in result.output
    assert "90.0 %" in result.output
    assert "note: no extension SPZLINE or ZLINE" in result.output


def test_as_a_table_and_a_picture(group, write, tmp_path):
    result = run(group, write(), "--out", tmp_path / "one.parquet", "--picture", tmp_path / "pictures")
    assert result.exit_code == 0
    table = read_table(tmp_path / "one.parquet")
    assert len(table) == 300
    assert table["wavelength"].unit == "Angstrom"
    assert (tmp_path / "pictures" / "spec.png").stat().st_size > 5000


def test_several_files_are_added(group, write, tmp_path):
    paths = [write(f"{k}.fits", seed=k) for k in range(1, 5)]
    result = run(group, *paths, "--coadd", "--scale", "--out", tmp_path / "sum.ecsv")
    assert "coadd of 4: S/N 40" in result.output
    assert float(re.search(r"stated errors: ([\d.]+)", result.output)[1]) == pytest.approx(1.0, abs=0.1)
    assert {"n_used", "scatter_error"} <= set(read_table(tmp_path / "sum.ecsv").colnames)


def test_what_was_not_used_is_said(group, write):
    paths = [write(f"{k}.fits", seed=k, ivar=0.0 if k == 2 else 4.0) for k in (1, 2, 3)]
    result = run(group, *paths, "--coadd")
    assert "without a usable pixel" in result.output
    assert "2.fits" in result.output


def test_requests_that_cannot_be(group, write, tmp_path):
    path = write()
    with pytest.raises(CatalogError, match="no spectrum 'visit 9'"):
        run(group, path, "--name", "visit 9")
    with pytest.raises(CatalogError, match="does not exist"):
        run(group, tmp_path / "none.fits")
    with pytest.raises(ConfigError, match="goes with"):
        run(group, path, "--scale")
    with pytest.raises(ConfigError, match="one table"):
        run(group, path, path, "--out", tmp_path / "x.csv")
    with pytest.raises(ConfigError, match="no usable pixel"):
        run(group, write("dark.fits", ivar=0.0), "--picture", tmp_path)
