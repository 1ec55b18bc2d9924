"""Paths, queries and the eFEDS compilation."""

from __future__ import annotations

import sqlite3

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from starloom.errors import CatalogError, ConfigError, MissingColumnError
from starloom.sdss import casjobs, efeds, products
from starloom.sdss.cartons import carton, generation

BIG = 4_500_000_000_000_000_001


@pytest.mark.parametrize(
    ("name", "release", "keys", "expected"),
    [
        ("spec", "dr18", {"field": 15143, "mjd": 59205, "catalogid": BIG}, f"15143p/59205/spec-15143-59205-{BIG}.fits"),
        ("spec", "dr18", {"field": 15143, "mjd": 59205, "catalogid": 42}, "spec-15143-59205-00000000042.fits"),
        (
            "spec",
            "dr19",
            {"field": 15143, "mjd": 59205, "catalogid": 42},
            "lite/015143/59205/spec-015143-59205-42.fits",
        ),
        (
            "spec",
            "dr19",
            {"field": 15143, "mjd": 59205, "catalogid": 42, "run2d": "v6_0_4"},
            "15143p/59205/spec-15143-",
        ),
        ("spec", "dr17", {"plate": 266, "mjd": 51602, "fiber": 13, "run2d": 26}, "0266/spec-0266-51602-0013.fits"),
        ("apStar", "dr17", {"telescope": "apo25m", "field": "M13", "obj": "2M1"}, "apo25m/M13/apStar-dr17-2M1.fits"),
        ("apVisit", "dr17", {"telescope": "apo25m", "field": "M13", "plate": 1, "mjd": 2, "fiber": 7}, "-1-2-007.fits"),
        (
            "apStar",
            "dr19",
            {"telescope": "apo25m", "healpix": 12345, "obj": "x"},
            "apo25m/12/12345/apStar-1.3-apo25m-x",
        ),
        ("mwmStar", "dr19", {"sdss_id": 54392544}, "star/25/44/mwmStar-0.6.0-54392544.fits"),
        ("mos", "dr18", {"table": "carton"}, "mos/target/1.0.1/mos_carton.fits"),
    ],
)
def test_paths(name, release, keys, expected):
    found = products.path(name, release, **keys)
    assert found.startswith(release + "/")
    assert expected in found
    assert products.url(name, release, **keys) == f"https://data.sdss.org/sas/{found}"


def test_every_product_can_be_made():
    for entry in products.products():
        keys = dict.fromkeys(entry.keys, "7")
        assert products.path(entry.name, entry.release, **keys)


@pytest.mark.parametrize(
    ("arguments", "keys", "word"),
    [
        (("spec", "dr99"), {}, "no paths are known"),
        (("mwmStar", "dr18"), {}, "it is in dr19"),
        (("spek", "dr18"), {}, "'spec'"),
        (("spec", "dr18"), {"field": 1}, "needs mjd"),
        (("spec", "dr18"), {"field": 1, "mjd": 2, "catalogid": "x"}, "cannot be made"),
        (("mwmAllStar", "dr19"), {"sdss_id": 1}, "no key 'sdss_id'"),
    ],
)
def test_paths_that_cannot_be_made(arguments, keys, word):
    with pytest.raises(ConfigError, match=word):
        products.path(*arguments, **keys)


def test_a_cone_over_the_pole_and_right_ascension_zero():
    rng = np.random.default_rng(1)
    sky = SkyCoord(rng.uniform(0, 360, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000))), unit="deg")
    base = sqlite3.connect(":memory:")
    base.execute("CREATE TABLE stars (id INTEGER, ra REAL, dec REAL)")
    base.executemany("INSERT INTO stars VALUES (?, ?, ?)", zip(range(3000), sky.ra.deg, sky.dec.deg, strict=True))
    for ra, dec, radius in ((0.0, 89.0, 20.0), (359.5, -10.0, 15.0), (120.0, -90.0, 30.0)):
        found = {row[0] for row in base.execute(casjobs.cone("stars", ra, dec, radius, columns=["id"]))}
        expected = np.flatnonzero(sky.separation(SkyCoord(ra, dec, unit="deg")).deg < radius)
        assert found == set(expected.tolist())
    base.close()
    for bad in ((400.0, 0.0, 1.0), (0.0, 91.0, 1.0), (0.0, 0.0, 0.0)):
        with pytest.raises(ConfigError):
            casjobs.cone("stars", *bad)
    # T-SQL gives radians of an integer as an integer
    assert casjobs.cone("stars", 10, -20, 1) == casjobs.cone("stars", 10.0, -20.0, 1.0)


def test_queries_hold_whole_identifiers_and_no_foreign_sql():
    assert str(BIG) in casjobs.cartons_of([BIG])
    with pytest.raises(ConfigError, match="whole number"):
        casjobs.cartons_of([float(BIG)])
    with pytest.raises(ConfigError, match="at least one"):
        casjobs.cartons_of([])
    with pytest.raises(ConfigError, match="no name"):
        casjobs.targets_of("x'; DROP TABLE y; --")
    assert "[plan] = '0.5.1'" in casjobs.targets_of("mwm_ob_core", "0.5.1", top=5)
    with pytest.raises(ConfigError, match="above 0"):
        casjobs.targets_of("a", top=0)


def test_selections_in_cas():
    text = casjobs.selection(carton("mwm_ob_core", plan="0.5.1"), into="ob", top=10)
    assert "mos_gaia_dr2_ruwe" in text
    assert "INTO mydb.ob" in text
    assert text.count("TOP 10") == 1
    assert "mos_allwise" not in text
    with pytest.raises(ConfigError, match="csc_hmag"):
        casjobs.selection(carton("bhm_csc_apogee", plan="0.5.15"))
    made = [entry for entry in generation() if not entry.private and not _fails(entry)]
    assert len(made) >= 20


def _fails(entry):
    try:
        casjobs.selection(entry)
    except ConfigError:
        return True
    return False


def test_best_counterparts():
    table = QTable({"ero_id": [7, 7, 9], "p_any": [0.5, 0.5, 0.05], "p_i": [0.2, 0.8, np.nan], "name": ["a", "b", "c"]})
    found = efeds.best_counterparts(table)
    assert found["name"].tolist() == ["b", "c"]
    assert found["reliable"].tolist() == [True, False]
    assert found["candidates"].tolist() == [2, 1]
    with pytest.raises(MissingColumnError, match="p_i"):
        efeds.best_counterparts(table["ero_id", "p_any"])
    with pytest.raises(CatalogError, match="no rows"):
        efeds.best_counterparts(table[:0])


def test_best_redshifts():
    sources = QTable({"ra": [0.0, 10.0, 20.0, 30.0] * u.deg, "dec": [80.0, 0.0, 0.0, 0.0] * u.deg})
    step = 0.5 / 3600.0
    spectra = QTable(
        {
            "ra": [360.0 - step, 10.0, 10.0 + step, 10.0, 20.0, 20.0, 40.0] * u.deg,
            "dec": [80.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0] * u.deg,
            "z": [0.5, 1.0, 2.0, 1.01, 0.3, np.nan, 0.1], "normq": [3, 2, 3, 3, -1, 3, 3],
            "catalog": ["sdss", "sdss", "gama", "sdss", "sdss", "sdss", "sdss"],
            "z_class": ["QSO", "", "GALAXY", "QSO", "", "", ""],
        }
    )  # fmt: skip
    found = efeds.best_redshifts(sources, spectra, ["sdss", "gama"])
    np.testing.assert_allclose(found["z"], [0.5, 1.01, np.nan, np.nan])
    assert found["z_catalog"].tolist() == ["sdss", "sdss", "", ""]
    assert found["n_spectra"].tolist() == [1, 3, 2, 0]
    assert found["n_agreeing"].tolist() == [1, 1, 0, 0]
    other = efeds.best_redshifts(sources, spectra, ["gama", "sdss"])
    assert other["z"][1] == 2.0
    assert found["separation"].to_value(u.arcsec)[0] == pytest.approx(0.5 * np.cos(np.radians(80.0)), rel=1e-3)
    with pytest.raises(ConfigError, match="radius"):
        efeds.best_redshifts(sources, spectra, [], radius=0.0)


def test_normalized_quality():
    assert efeds.normalized_quality([0, 4, 0, 0], [0, 0, 1, -1]).tolist() == [3, 1, 1, -1]
    with pytest.raises(ConfigError, match="-1 to 3"):
        efeds.normalized_quality([0], [5])
