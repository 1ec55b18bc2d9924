"""A quantity on the sky from a HEALPix map in FITS, such as a map of reddening."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError

Floats = NDArray[np.float64]
_FRAMES = {"G": "galactic", "GALACTIC": "galactic", "C": "icrs", "EQUATORIAL": "icrs", "ICRS": "icrs"}


@dataclass(frozen=True)
class HealpixMap:
    """A whole-sky map; called with positions it interpolates between the four nearest pixels.

    Parameters
    ----------
    values : (12 nside^2,) values.
    order : "ring" or "nested".
    frame : "galactic" or "icrs".
    name : where it is from.
    """

    values: Floats
    order: str
    frame: str
    name: str

    @classmethod
    def read(cls, path: str | Path, column: str | None = None) -> HealpixMap:
        """Read a map as HEALPix writes it: a binary table whose header says NSIDE, ORDERING and COORDSYS.

        Parameters
        ----------
        path : the FITS file, such as ``lambda_sfd_ebv.fits``, the map of 1998ApJ...500..525S.
        column : its column; the first by default.

        Raises
        ------
        CatalogError
            When it cannot be read or is no whole-sky HEALPix map.
        """
        from astropy.io import fits

        try:
            with fits.open(path) as units:
                table = next(unit for unit in units if isinstance(unit, fits.BinTableHDU))
                header, names = table.header, table.columns.names
                values = np.asarray(table.data[column or names[0]], dtype=np.float64).ravel()
                nside, order = int(header.get("NSIDE", 0)), str(header.get("ORDERING", "")).strip().lower()
                system = str(header.get("COORDSYS", "G")).strip()
        except StopIteration as error:
            raise CatalogError(f"{path} has no binary table, so it is no HEALPix map") from error
        except Exception as error:  # astropy raises anything on a damaged file
            raise CatalogError(f"{path} cannot be read as a HEALPix map: {error or type(error).__name__}") from error
        frame = _FRAMES.get(system.upper())
        if len(values) != 12 * nside**2 or order not in ("ring", "nested") or frame is None:
            raise CatalogError(
                f"{path} is no whole-sky HEALPix map: {len(values)} values, NSIDE {nside}, ORDERING {order!r}, "
                f"COORDSYS {system!r}"
            )
        return cls(values, order, frame, Path(path).name)

    def __call__(self, ra: ArrayLike, dec: ArrayLike) -> Floats:
        """Values at ICRS positions (deg), shape (n,); NaN where a position is missing."""
        import astropy.units as u
        from astropy.coordinates import SkyCoord
        from astropy_healpix import HEALPix

        ra, dec = (np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in (ra, dec))
        result = np.full(ra.shape, np.nan)
        seen = np.isfinite(ra) & np.isfinite(dec)
        if seen.any():
            places = SkyCoord(ra[seen] * u.deg, dec[seen] * u.deg, frame="icrs").transform_to(self.frame)
            sphere = places.represent_as("unitspherical")
            grid = HEALPix(nside=int(np.sqrt(len(self.values) / 12)), order=self.order)
            result[seen] = grid.interpolate_bilinear_lonlat(sphere.lon, sphere.lat, self.values)
        return result
