"""Sky matching and the change of epochs, against astropy and by construction."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from astropy.time import Time

from starloom.catalog.matching import match_sky, propagate_epoch
from starloom.errors import CatalogError, MissingColumnError, UnitError


def sky(ra, dec, **columns) -> QTable:
    return QTable({"ra": np.array(ra, dtype=float), "dec": np.array(dec, dtype=float), **columns})


def random_sky(rng, number):
    return rng.uniform(0, 360, number), np.rad2deg(np.arcsin(rng.uniform(-1, 1, number)))


def test_propagation_agrees_with_astropy():
    rng = np.random.default_rng(7)
    ra, dec = random_sky(rng, 200)
    dec[:20] = 90 - 10.0 ** rng.uniform(-6, -2, 20)  # within 36 arcsec of the pole
    dec[20:40] = -dec[:20]
    pmra, pmdec = rng.normal(0, 2000, (2, 200))
    start = SkyCoord(
        ra * u.deg,
        dec * u.deg,
        pm_ra_cosdec=pmra * u.mas / u.yr,
        pm_dec=pmdec * u.mas / u.yr,
        distance=np.full(200, 20.0) * u.pc,
        radial_velocity=np.zeros(200) * u.km / u.s,
        obstime=Time(2015.5, format="jyear", scale="tcb"),
    )
    end = start.apply_space_motion(new_obstime=Time(2026.0, format="jyear", scale="tcb"))
    moved = SkyCoord(*propagate_epoch(ra, dec, pmra, pmdec, 2015.5, 2026.0), unit="deg")
    separation = moved.separation(SkyCoord(end.ra, end.dec)).to_value(u.mas)
    assert separation.max() < 0.02  # of up to 60,000 mas moved; astropy adds the light time, we do not


def test_propagation_over_the_pole():
    ra, dec = propagate_epoch([30.0], [90 - 1 / 3600], [0.0], [2000.0], 2000.0, 2001.0)
    np.testing.assert_allclose([ra[0], dec[0]], [210.0, 90 - 1 / 3600], atol=1e-9)


def test_missing_motion_is_no_motion():
    ra, dec = propagate_epoch([359.999, 5.0], [10.0, 10.0], [np.nan, np.nan], [1e5, np.nan], 2015.5, 2016.0)
    np.testing.assert_allclose(ra, [359.999, 5.0], atol=1e-9)
    np.testing.assert_allclose(dec, [10.0 + 5e4 / 3.6e6, 10.0], atol=1e-12)


def test_matches_agree_with_astropy():
    rng = np.random.default_rng(8)
    ra, dec = random_sky(rng, 500)
    left = sky(ra, dec)
    right = sky(*random_sky(rng, 700))
    found = match_sky(left, right, 3600 * 5)
    index, separation, _ = SkyCoord(ra, dec, unit="deg").match_to_catalog_sky(
        SkyCoord(np.array(right["ra"]), np.array(right["dec"]), unit="deg")
    )
    close = separation.arcsec <= 3600 * 5
    assert 50 < close.sum() < 500
    assert found.left.tolist() == np.flatnonzero(close).tolist()
    assert found.right.tolist() == index[close].tolist()
    np.testing.assert_allclose(found.separation, separation.arcsec[close], rtol=1e-9)


def test_matches_across_zero_and_at_the_poles():
    left = sky([359.9999, 100.0, 12.0], [0.0, 90.0, -89.9999])
    right = sky([0.0001, 280.0, 192.0], [0.0, 89.9999, -89.9999])
    found = match_sky(left, right, 1.0)
    assert found.left.tolist() == found.right.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.separation, [0.72, 0.36, 0.72], atol=1e-6)


def test_epochs_bring_fast_stars_together():
    # a star of 10 arcsec/yr: half a year apart it is 5 arcsec away
    motion = {"pmra": [8000.0, np.nan], "pmdec": [6000.0, np.nan]}
    left = sky([150.0, 10.0], [60.0, 0.0], **motion)
    moved_ra, moved_dec = propagate_epoch(left["ra"], left["dec"], left["pmra"], left["pmdec"], 2015.5, 2016.0)
    right = sky(moved_ra, moved_dec)
    assert match_sky(left, right, 1.0).left.tolist() == [1]
    found = match_sky(left, right, 1.0, left_epoch=2015.5, right_epoch=2016.0)
    assert found.left.tolist() == found.right.tolist() == [0, 1]
    assert found.separation.max() < 1e-5
    back = match_sky(right, left, 1.0, left_epoch=2016.0, right_epoch=2015.5)
    assert len(back) == 2
    assert back.separation.max() < 0.001


def test_mutual_matches_are_one_to_one():
    left = sky([10.0, 10.0 + 0.3 / 3600, 20.0], [0.0, 0.0, 0.0])
    right = sky([10.0 + 0.1 / 3600, 20.0], [0.0, 0.0])
    assert match_sky(left, right, 1.0).right.tolist() == [0, 0, 1]
    found = match_sky(left, right, 1.0, mutual=True)
    assert found.left.tolist() == [0, 2]
    assert found.right.tolist() == [0, 1]


def test_rows_without_position_match_nothing():
    left = sky([np.nan, 10.0, np.inf], [0.0, 0.0, 0.0])
    right = sky([10.0, np.nan], [0.0, 0.0])
    found = match_sky(left, right, 1.0)
    assert (found.left.tolist(), found.right.tolist()) == ([1], [0])
    for empty in (right[:0], sky([np.nan], [np.nan])):
        assert len(match_sky(left, empty, 1.0)) == 0
        assert len(match_sky(empty, left, 1.0, mutual=True)) == 0


def test_units_are_converted():
    left = QTable({"ra": [np.pi] * u.rad, "dec": [0.0] * u.rad})
    assert len(match_sky(left, sky([180.0], [0.0]), 0.01)) == 1
    with pytest.raises(UnitError, match="'ra' has the unit 'km'"):
        match_sky(QTable({"ra": [1.0] * u.km, "dec": [1.0] * u.deg}), left, 1.0)


def test_what_cannot_be_matched():
    one = sky([1.0], [1.0])
    with pytest.raises(MissingColumnError, match="no column 'dec'"):
        match_sky(one, QTable({"ra": [1.0]}), 1.0)
    for radius in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(CatalogError, match="the radius of a sky match"):
            match_sky(one, one, radius)
    with pytest.raises(CatalogError, match="epochs of both tables, or of neither"):
        match_sky(one, one, 1.0, left_epoch=2016.0)
    with pytest.raises(CatalogError, match="neither table has pmra and pmdec"):
        match_sky(one, one, 1.0, left_epoch=2016.0, right_epoch=2015.5)
    with pytest.raises(CatalogError, match=r"the right table has dec = 91.0 deg in row 0"):
        match_sky(one, sky([1.0], [91.0]), 1.0)
