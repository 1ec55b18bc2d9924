"""Summary tables: recognized, repaired, and refused where digits are lost."""

import numpy as np
import pytest
from astropy.table import Table

from starloom.errors import CatalogError
from starloom.spectra.summaries import read_summary, summary_kind

CATALOGID = 6305039478318694399


def write(tmp_path, **columns):
    path = tmp_path / "table.fits"
    Table(columns).write(path, overwrite=True)
    return path


def allstar(**more):
    return {
        "APOGEE_ID": np.array(["2M01", "2M02   "]), "TEFF": np.array([4800.0, -9999.0], dtype=np.float32),
        "LOGG": np.array([2.5, np.nan], dtype=np.float32), "STARFLAG": np.array([0, 4]), "ASPCAPFLAG": np.array([0, 1]),
        "GAIAEDR3_SOURCE_ID": np.array([CATALOGID, 0]), **more,
    }  # fmt: skip


def test_allstar(tmp_path):
    table = read_summary(write(tmp_path, **allstar()))
    assert table.meta["summary"] == "allStar"
    assert np.isnan(table["TEFF"][1])
    assert table["GAIAEDR3_SOURCE_ID"][0] == CATALOGID
    assert table["GAIAEDR3_SOURCE_ID"].mask.tolist() == [False, True]
    assert table["APOGEE_ID"].tolist() == ["2M01", "2M02"]


def spall(**more):
    plain = {"MJD": np.array([59146, 59147]), "ZWARNING": np.array([0, 4]), "CLASS": np.array(["QSO", "STAR"])}
    return plain | {"SN_MEDIAN_ALL": np.array([3.0, 5.0]), "FIELD": np.array([15000, 15001])} | more


@pytest.mark.parametrize(
    "ids", [np.array([CATALOGID, 27021597775536148]), np.array([str(CATALOGID), " 27021597775536148"])]
)
def test_spall_with_ids_as_integers_or_text(tmp_path, ids):
    table = read_summary(write(tmp_path, **spall(CATALOGID=ids)))
    assert table.meta["summary"] == "spAll"
    assert table["CATALOGID"].tolist() == [CATALOGID, 27021597775536148]
    assert table["CATALOGID"].dtype == np.int64


def test_ids_as_floats(tmp_path):
    small = read_summary(write(tmp_path, **spall(CATALOGID=np.array([4.0, np.nan]))))
    assert small["CATALOGID"].filled(-1).tolist() == [4, -1]
    with pytest.raises(CatalogError, match="lost digits"):
        read_summary(write(tmp_path, **spall(CATALOGID=np.array([float(CATALOGID), 1.0]))))


def test_ids_that_are_words(tmp_path):
    with pytest.raises(CatalogError, match="identifier"):
        read_summary(write(tmp_path, **spall(CATALOGID=np.array(["first", "2"]))))


def test_efeds(tmp_path):
    columns = {"ERO_NAME": np.array(["eFEDS J1", "eFEDS J2"]), "SPECZ_REDSHIFT": np.array([0.5, -99.0])}
    table = read_summary(write(tmp_path, **columns))
    assert table.meta["summary"] == "eFEDS"
    assert np.isnan(table["SPECZ_REDSHIFT"][1])


def test_mwmallstar_by_columns():
    assert summary_kind(["sdss_id", "v_astra", "ra"]) == "mwmAllStar"
    assert summary_kind(["ra", "dec"]) is None


def test_unknown_tables_and_kinds(tmp_path):
    path = write(tmp_path, ra=np.array([1.0]))
    with pytest.raises(CatalogError, match="none of the known summaries"):
        read_summary(path)
    with pytest.raises(CatalogError, match="unknown kind"):
        read_summary(path, "spam")
    assert read_summary(path, "spAll").meta["summary"] == "spAll"


def test_some_columns_only(tmp_path):
    path = write(tmp_path, **allstar())
    assert read_summary(path, "allStar", columns=["TEFF"]).colnames == ["TEFF"]
