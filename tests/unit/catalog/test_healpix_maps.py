"""A map on the sky read from FITS and interpolated."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy_healpix import HEALPix

from starloom.catalog.healpix_maps import HealpixMap
from starloom.errors import CatalogError


def write(path, order, frame, nside=32, column="TEMPERATURE", **header):
    """A map of 1 + sin(latitude) of the map's own frame, in rows of 1024 values as HEALPix writes them."""
    grid = HEALPix(nside=nside, order=order.lower())
    _, latitude = grid.healpix_to_lonlat(np.arange(grid.npix))
    values = 1.0 + np.sin(latitude.to_value(u.rad))
    columns = [fits.Column(column, format="1024E", array=values.reshape(-1, 1024))]
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update({"NSIDE": nside, "ORDERING": order, "COORDSYS": frame, **header})
    table.writeto(path)
    return path


@pytest.mark.parametrize("order", ["RING", "NESTED"])
@pytest.mark.parametrize("frame", ["G", "C"])
def test_a_map_is_read_in_its_own_frame(tmp_path, order, frame):
    found = HealpixMap.read(write(tmp_path / "map.fits", order, frame))
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 200), np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
    place = SkyCoord(ra * u.deg, dec * u.deg)
    latitude = place.galactic.b if frame == "G" else place.dec
    np.testing.assert_allclose(found(ra, dec), 1.0 + np.sin(latitude.to_value(u.rad)), atol=2e-3)


def test_missing_positions_are_missing_values(tmp_path):
    found = HealpixMap.read(write(tmp_path / "map.fits", "RING", "G"))
    value = found([10.0, np.nan, 30.0], [0.0, 0.0, np.nan])
    np.testing.assert_array_equal(np.isnan(value), [False, True, True])
    assert np.isnan(found(np.nan, 0.0)).all()


def test_what_is_no_map(tmp_path):
    with pytest.raises(CatalogError, match="cannot be read"):
        HealpixMap.read(tmp_path / "none.fits")
    with pytest.raises(CatalogError, match="cannot be read"):
        HealpixMap.read(write(tmp_path / "a.fits", "RING", "G"), "EBV")
    with pytest.raises(CatalogError, match="ORDERING 'spiral'"):
        HealpixMap.read(write(tmp_path / "b.fits", "RING", "G", ORDERING="spiral"))
    with pytest.raises(CatalogError, match="COORDSYS 'Q'"):
        HealpixMap.read(write(tmp_path / "c.fits", "RING", "G", COORDSYS="Q"))
    with pytest.raises(CatalogError, match="NSIDE 16"):
        HealpixMap.read(write(tmp_path / "d.fits", "RING", "G", NSIDE=16))
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "e.fits")
    with pytest.raises(CatalogError, match="no binary table"):
        HealpixMap.read(tmp_path / "e.fits")
    (tmp_path / "f.fits").write_bytes(b"")
    with pytest.raises(CatalogError, match="cannot be read"):
        HealpixMap.read(tmp_path / "f.fits")
