"""Published orbit-fit inputs, one measurement a row, as the points that an orbit fit takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.schema import plain, require_rows
from starloom.errors import CatalogError, MissingColumnError
from starloom.streams.orbit_points import great_circle

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]

QUANTITIES = {
    "dec": ("sky_error", "deg"),
    "dist": ("distance", "kpc"),
    "pmra": ("pmra", "mas/yr"),
    "pmdec": ("pmdec", "mas/yr"),
    "vr": ("radial_velocity", "km/s"),
}
"""Quantity of the long table -> our column and its unit. The error of ``dec`` is the width of the stream."""
_NEEDED = ("stream", "quantity", "ra_deg", "dec_deg", "value", "error")
CURVE_DEGREE = 3


def is_long(table: QTable) -> bool:
    """Whether a table has one measurement a row: stream, quantity, ra_deg, dec_deg, value, error."""
    return {"quantity", "value"} <= set(table.colnames)


def points_from_measurements(table: QTable) -> QTable:
    """One row a place instead of one row a measurement.

    Parameters
    ----------
    table : columns stream, quantity (dec, dist, pmra, pmdec, vr), ra_deg, dec_deg, value, error. A row without
        ``dec_deg`` is put on the curve phi2(phi1), a cubic, through the stream's positions, at its right ascension.

    Returns
    -------
    QTable
        Columns of ``orbit_points.SCHEMA``; what was measured at one place stands in one row.

    Raises
    ------
    CatalogError
        For a missing column, an unknown quantity, or a stream without positions.
    """
    from astropy.table import vstack

    lost = [name for name in _NEEDED if name not in table.colnames]
    if lost:
        raise MissingColumnError(f"orbit-fit inputs lack the column {lost[0]!r}; needed: {', '.join(_NEEDED)}")
    require_rows(table, "orbit-fit inputs")
    quantity = np.asarray(table["quantity"]).astype(str)
    if unknown := sorted(set(quantity) - set(QUANTITIES)):
        raise CatalogError(f"unknown quantity {unknown[0]!r} in orbit-fit inputs; known: {', '.join(QUANTITIES)}")
    names = np.asarray(table["stream"]).astype(str)
    numbers = {name: plain(table, name) for name in _NEEDED[2:]}
    return vstack(
        [
            _one_stream(str(name), quantity[names == name], {key: v[names == name] for key, v in numbers.items()})
            for name in dict.fromkeys(names)
        ]
    )


def _one_stream(name: str, quantity: NDArray[np.str_], numbers: dict[str, Array]) -> QTable:
    import astropy.units as u
    from astropy.table import QTable

    ra, dec = numbers["ra_deg"], numbers["dec_deg"].copy()
    position = quantity == "dec"
    if position.sum() < 2:
        raise CatalogError(f"orbit-fit inputs of {name}: no positions (rows with quantity 'dec')")
    dec[position] = numbers["value"][position]
    unplaced = ~np.isfinite(dec)
    if unplaced.any():
        dec[unplaced] = _declination(name, ra[position], dec[position], ra[unplaced])
    places, row = np.unique(np.stack([ra, dec], axis=1), axis=0, return_inverse=True)
    row = row.reshape(-1)
    found = QTable({"stream": np.full(len(places), name), "ra": places[:, 0] % 360.0 * u.deg})
    found["dec"] = places[:, 1] * u.deg
    for key, (column, unit) in QUANTITIES.items():
        value, error = np.full(len(places), np.nan), np.full(len(places), np.nan)
        chosen = quantity == key
        value[row[chosen]], error[row[chosen]] = numbers["value"][chosen], numbers["error"][chosen]
        if key == "dec":
            found[column] = error * u.Unit(unit)
        else:
            found[column], found[f"{column}_error"] = value * u.Unit(unit), error * u.Unit(unit)
    return found


def _declination(name: str, ra: Array, dec: Array, wanted: Array) -> Array:
    """Declination at right ascensions on the cubic phi2(phi1) through positions (all deg)."""
    frame = great_circle(name, ra, dec)
    phi1, phi2 = frame.to_frame(ra, dec)
    curve = np.polynomial.Polynomial.fit(phi1, phi2, min(CURVE_DEGREE, len(ra) - 1))
    margin = 0.25 * (phi1.max() - phi1.min()) + 5.0
    along = np.linspace(phi1.min() - margin, phi1.max() + margin, 4001)
    inside = np.clip(along, phi1.min(), phi1.max())
    # beyond the last position the curve goes on straight: a cubic would run away
    on_ra, on_dec = frame.to_icrs(along, curve(inside) + curve.deriv()(inside) * (along - inside))
    middle = on_ra[len(on_ra) // 2]
    offset = (on_ra - middle + 180.0) % 360.0 - 180.0
    target = (wanted - middle + 180.0) % 360.0 - 180.0
    nearest = np.abs(offset[None, :] - target[:, None]).argmin(axis=1)
    return np.asarray(on_dec[nearest])
